package peers;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * The model that serves now: one volatile reference, which a thread of its own replaces.
 *
 * <p>The new model is read and warmed up in that thread; the scoring threads see another reference with their next record.
 */
final class ControlLog {
  private static final Duration POLL = Duration.ofSeconds(1);

  private final Settings settings;
  private final Models models = new Models();
  private volatile ServedModel serving;

  /** Returns when the log has been read to its end, so that a restart begins with the model that served last. */
  ControlLog(Settings settings) throws IOException {
    this.settings = settings;
    KafkaConsumer<byte[], byte[]> consumer = null;
    if (!settings.control().isEmpty()) {
      consumer = consumer();
      follow(consumer, true);
    }
    if (serving == null) {
      serving = new ServedModel(Models.START_NAME, 0, -1, Files.readAllBytes(Path.of(settings.model())));
    }
    if (consumer != null) {
      KafkaConsumer<byte[], byte[]> kept = consumer;
      Thread.ofPlatform().daemon().name("control").start(() -> follow(kept, false));
    }
  }

  /** See the class. */
  ServedModel serving() {
    return serving;
  }

  private KafkaConsumer<byte[], byte[]> consumer() {
    Properties properties = settings.client();
    properties.put("enable.auto.commit", "false");
    KafkaConsumer<byte[], byte[]> consumer =
        new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    TopicPartition partition = new TopicPartition(settings.control(), 0);
    consumer.assign(List.of(partition));
    consumer.seekToBeginning(List.of(partition));
    return consumer;
  }

  private void follow(KafkaConsumer<byte[], byte[]> consumer, boolean onlyToTheEnd) {
    TopicPartition partition = new TopicPartition(settings.control(), 0);
    long end = onlyToTheEnd ? consumer.endOffsets(List.of(partition)).get(partition) : Long.MAX_VALUE;
    List<Models.Announced> announced = new ArrayList<>();
    while (consumer.position(partition) < end) {
      for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
        boolean isTyped = record.headers().lastHeader("sluice-type") != null;
        Models.Announced next = models.read(record.offset(), record.value(), isTyped);
        if (next != null) {
          announced.add(next);
        }
      }
      if (!onlyToTheEnd) {
        swap(announced);
        announced.clear();
      }
    }
    swap(announced);
  }

  private void swap(List<Models.Announced> announced) {
    ServedModel newest = Models.newest(announced);
    if (newest != null) {
      serving = newest;
    }
  }
}
