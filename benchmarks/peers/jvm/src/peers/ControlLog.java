package peers;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * The models that serve now: one volatile reference a data type, which a thread of its own replaces.
 *
 * <p>The new model is read and warmed up in that thread; the scoring threads see another reference with their next record.
 */
final class ControlLog {
  private static final Duration POLL = Duration.ofSeconds(1);

  private final Models models = new Models();
  private final Map<String, Slot> slots = new ConcurrentHashMap<>();
  /** What every data type is scored with where nothing was announced at all; else null. */
  private final ServedModel start;

  /** Where the model of one data type is found. */
  static final class Slot {
    private volatile ServedModel serving;

    private Slot(ServedModel start) {
      serving = start;
    }

    /** The model; null if there is none. */
    ServedModel serving() {
      return serving;
    }
  }

  /** Returns when the log has been read to its end, so that a restart begins with the model that served last. */
  ControlLog(Settings settings) throws IOException {
    KafkaConsumer<byte[], byte[]> consumer = settings.control().isEmpty() ? null : consumer(settings);
    if (consumer != null) {
      serve(toTheEnd(consumer, models));
    }
    start =
        slots.isEmpty()
            ? new ServedModel(Models.START_NAME, 0, -1, Files.readAllBytes(Path.of(settings.model())))
            : null;
    if (consumer != null) {
      Thread.ofPlatform().daemon().name("control").start(() -> follow(consumer));
    }
  }

  /** Of a data type; the same one each time. */
  Slot slot(String dataType) {
    return slots.computeIfAbsent(dataType, type -> new Slot(start));
  }

  private void serve(List<Models.Announced> announced) {
    Map<String, List<Models.Announced>> byType = new HashMap<>();
    for (Models.Announced each : announced) {
      byType.computeIfAbsent(each.descriptor().dataType(), type -> new ArrayList<>()).add(each);
    }
    byType.forEach(
        (dataType, ofType) -> {
          ServedModel newest = Models.newest(ofType);
          if (newest != null) {
            slot(dataType).serving = newest;
          }
        });
  }

  /** The model that the log ends with now; null if it has none. */
  static ServedModel newest(Settings settings) {
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(settings)) {
      return Models.newest(toTheEnd(consumer, new Models()));
    }
  }

  private static KafkaConsumer<byte[], byte[]> consumer(Settings settings) {
    Properties properties = settings.client();
    properties.put("enable.auto.commit", "false");
    KafkaConsumer<byte[], byte[]> consumer =
        new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    TopicPartition partition = new TopicPartition(settings.control(), 0);
    consumer.assign(List.of(partition));
    consumer.seekToBeginning(List.of(partition));
    return consumer;
  }

  private static List<Models.Announced> toTheEnd(KafkaConsumer<byte[], byte[]> consumer, Models models) {
    TopicPartition partition = consumer.assignment().iterator().next();
    long end = consumer.endOffsets(List.of(partition)).get(partition);
    List<Models.Announced> announced = new ArrayList<>();
    while (consumer.position(partition) < end) {
      announced.addAll(next(consumer, models));
    }
    return announced;
  }

  private static List<Models.Announced> next(KafkaConsumer<byte[], byte[]> consumer, Models models) {
    List<Models.Announced> announced = new ArrayList<>();
    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
      boolean isTyped = record.headers().lastHeader("sluice-type") != null;
      Models.Announced found = models.read(record.offset(), record.value(), isTyped);
      if (found != null) {
        announced.add(found);
      }
    }
    return announced;
  }

  private void follow(KafkaConsumer<byte[], byte[]> consumer) {
    while (true) {
      serve(next(consumer, models));
    }
  }
}
