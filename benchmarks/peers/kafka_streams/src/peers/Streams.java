package peers;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.Stores;

/**
 * The topology: source, scoring, sink; and a global store on the control log, whose processor replaces the model.
 *
 * <p>Streams reads the whole control log before it starts on the records, so a restart begins with the newest model.
 */
public final class Streams {
  private static final Duration STOP = Duration.ofSeconds(15);

  private Streams() {}

  public static void main(String[] arguments) throws IOException {
    Settings settings = Settings.fromEnvironment();
    ServingModel serving =
        new ServingModel(
            new ServedModel(Models.START_NAME, 0, -1, Files.readAllBytes(Path.of(settings.model()))));
    KafkaStreams streams = new KafkaStreams(topology(settings, serving), properties(settings));
    streams.setStateListener(
        (now, before) -> {
          if (now == KafkaStreams.State.RUNNING) {
            System.out.println("ready");
          }
        });
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(STOP)));
    streams.start();
  }

  private static Topology topology(Settings settings, ServingModel serving) {
    ByteArrayDeserializer in = new ByteArrayDeserializer();
    ByteArraySerializer out = new ByteArraySerializer();
    Topology topology = new Topology();
    topology.addSource("records", in, in, settings.input());
    topology.addProcessor("score", () -> new Scoring(serving, settings.input()), "records");
    topology.addSink("results", settings.output(), out, out, "score");
    if (!settings.control().isEmpty()) {
      // Nothing is kept in the store: the newest model is in memory, the log is in Kafka.
      topology.addGlobalStore(
          Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore("models"), Serdes.ByteArray(), Serdes.ByteArray())
              .withLoggingDisabled(),
          "control",
          in,
          in,
          settings.control(),
          "swap",
          () -> new Swapping(serving));
    }
    return topology;
  }

  private static Properties properties(Settings settings) {
    Properties properties = settings.client();
    properties.put(StreamsConfig.APPLICATION_ID_CONFIG, settings.group());
    properties.put(StreamsConfig.STATE_DIR_CONFIG, settings.state().toString());
    properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, settings.processes());
    properties.put(
        StreamsConfig.PROCESSING_GUARANTEE_CONFIG,
        settings.isExactlyOnce() ? StreamsConfig.EXACTLY_ONCE_V2 : StreamsConfig.AT_LEAST_ONCE);
    properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1_000);
    properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
    properties.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
    properties.put(StreamsConfig.MAX_TASK_IDLE_MS_CONFIG, StreamsConfig.MAX_TASK_IDLE_MS_DISABLED);
    properties.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
    properties.put(StreamsConfig.mainConsumerPrefix("group.instance.id"), settings.group());
    properties.put(StreamsConfig.consumerPrefix("max.poll.records"), 5_000);
    properties.put(StreamsConfig.consumerPrefix("check.crcs"), false);
    properties.put(StreamsConfig.consumerPrefix("receive.buffer.bytes"), -1);
    properties.put(StreamsConfig.producerPrefix("acks"), "all");
    properties.put(StreamsConfig.producerPrefix("enable.idempotence"), true);
    properties.put(StreamsConfig.producerPrefix("linger.ms"), 5);
    properties.put(StreamsConfig.producerPrefix("batch.size"), 262_144);
    properties.put(StreamsConfig.producerPrefix("buffer.memory"), 67_108_864L);
    properties.put(StreamsConfig.producerPrefix("send.buffer.bytes"), -1);
    return properties;
  }
}
