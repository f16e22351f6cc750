package peers;

import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.function.Function;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Deserializer;

/**
 * Poll, score, send, and once a second commit: one consumer and one producer in one thread.
 *
 * <p>Offsets are committed after a flush, so after the broker acknowledged every result of the records below them. Exactly
 * once, a transaction of a second has the results and the offsets. A result that the broker refuses ends the process before
 * anything is committed. A record that is not a wine, or has no model, is said on standard error and passed over.
 *
 * <p>While there is a backlog, results wait for full batches; a loop that has caught up sends them at once. Exactly once,
 * results are seen when their transaction ends, so nothing would be gained.
 *
 * @param <V> what a record's value is decoded to
 */
final class ScoringLoop<V> implements Runnable {
  private static final Duration POLL = Duration.ofMillis(100);
  private static final long COMMIT_NANOS = 1_000_000_000L;
  private static final int MOST_POLLED = 5_000;
  /** A poll that brings fewer has emptied what was fetched: nothing is gained by letting results wait for company. */
  private static final int CAUGHT_UP = 1_000;

  private final Settings settings;
  private final int number;
  private final Function<ConsumerRecord<byte[], V>, byte[]> work;
  private final KafkaConsumer<byte[], V> consumer;
  private final KafkaProducer<byte[], byte[]> producer;

  private volatile boolean isStopped;
  private volatile Exception refused;
  /** One object for all results: a callback is needed, for a flush does not say what was refused. */
  private final Callback acknowledged =
      (metadata, error) -> {
        if (error != null) {
          refused = error;
        }
      };

  private boolean isInTransaction;
  private boolean isReady;

  /**
   * @param work a result for a record, null if there is none; called in this loop's thread
   */
  ScoringLoop(
      Settings settings, int number, Deserializer<V> values, Function<ConsumerRecord<byte[], V>, byte[]> work) {
    this.settings = settings;
    this.number = number;
    this.work = work;
    consumer = new KafkaConsumer<>(consumerProperties(), new ByteArrayDeserializer(), values);
    producer = new KafkaProducer<>(producerProperties(), new ByteArraySerializer(), new ByteArraySerializer());
  }

  static String worker(int number) {
    return "java-loop-" + number;
  }

  String worker() {
    return worker(number);
  }

  /** Asks the loop to finish; from any thread. */
  void stop() {
    isStopped = true;
    consumer.wakeup();
  }

  @Override
  public void run() {
    try {
      if (settings.isExactlyOnce()) {
        producer.initTransactions();
      }
      consumer.subscribe(List.of(settings.input()), new Handover());
      loop();
      commit(true);
      producer.close();
      consumer.close();
    } catch (Exception error) {
      error.printStackTrace();
      Runtime.getRuntime().halt(1);
    }
  }

  private void loop() throws Exception {
    long committed = System.nanoTime();
    while (!isStopped) {
      try {
        ConsumerRecords<byte[], V> records = consumer.poll(POLL);
        forward(records);
        if (!records.isEmpty() && records.count() < CAUGHT_UP && !settings.isExactlyOnce()) {
          producer.flush();
        }
      } catch (WakeupException stopped) {
        return;
      }
      if (System.nanoTime() - committed > COMMIT_NANOS) {
        commit(false);
        committed = System.nanoTime();
      }
    }
  }

  private void forward(ConsumerRecords<byte[], V> records) {
    if (settings.isExactlyOnce() && !isInTransaction && !records.isEmpty()) {
      producer.beginTransaction();
      isInTransaction = true;
    }
    String output = settings.output();
    for (TopicPartition partition : records.partitions()) {
      for (ConsumerRecord<byte[], V> record : records.records(partition)) {
        byte[] result = work.apply(record);
        if (result == null) {
          System.err.println("not a wine, or no model: partition " + record.partition() + ", offset " + record.offset());
          continue;
        }
        producer.send(new ProducerRecord<>(output, record.key(), result), acknowledged);
      }
    }
  }

  private void commit(boolean isWaitedFor) throws Exception {
    if (settings.isExactlyOnce()) {
      commitTransaction();
      return;
    }
    producer.flush();
    if (refused != null) {
      throw refused;
    }
    if (isWaitedFor) {
      consumer.commitSync();
    } else {
      consumer.commitAsync();
    }
  }

  private void commitTransaction() {
    if (!isInTransaction) {
      return;
    }
    Map<TopicPartition, OffsetAndMetadata> positions = new HashMap<>();
    for (TopicPartition partition : consumer.assignment()) {
      positions.put(partition, new OffsetAndMetadata(consumer.position(partition)));
    }
    producer.sendOffsetsToTransaction(positions, consumer.groupMetadata());
    producer.commitTransaction();
    isInTransaction = false;
  }

  private Properties consumerProperties() {
    Properties properties = settings.client();
    properties.put("group.id", settings.group());
    // A static member that is killed and started again takes its place at once, without the session's 45 s.
    properties.put("group.instance.id", settings.group() + "-" + number);
    properties.put("auto.offset.reset", "earliest");
    properties.put("enable.auto.commit", "false");
    properties.put("max.poll.records", MOST_POLLED);
    properties.put("check.crcs", "false");
    properties.put("receive.buffer.bytes", "-1");
    if (settings.isExactlyOnce()) {
      properties.put("isolation.level", "read_committed");
    }
    return properties;
  }

  private Properties producerProperties() {
    Properties properties = settings.client();
    properties.put("acks", "all");
    properties.put("enable.idempotence", "true");
    properties.put("linger.ms", "50");
    properties.put("batch.size", "262144");
    properties.put("buffer.memory", "67108864");
    properties.put("send.buffer.bytes", "-1");
    if (settings.isExactlyOnce()) {
      properties.put("transactional.id", settings.group() + "-" + number);
    }
    return properties;
  }

  /** Before partitions go to another loop, everything of them is written and committed. */
  private final class Handover implements ConsumerRebalanceListener {
    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
      if (!isReady) {
        isReady = true;
        System.out.println("ready");
      }
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
      try {
        commit(true);
      } catch (Exception error) {
        throw new IllegalStateException("what was scored could not be committed before partitions went", error);
      }
    }
  }
}
