package peers;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.Optional;
import java.util.Properties;
import java.util.stream.Stream;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.ExternalizedCheckpointRetention;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.configuration.StateRecoveryOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.sink.KafkaSinkBuilder;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.core.execution.RecoveryClaimMode;
import org.apache.flink.streaming.api.datastream.BroadcastStream;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.consumer.OffsetResetStrategy;

/** The job: records and the broadcast control log meet in `Scoring`, its results go to a Kafka sink. */
public final class FlinkJob {
  private static final long CHECKPOINT_MILLIS = 1_000;
  private static final int RESTARTS = 3;
  private static final long BUFFER_TIMEOUT_MILLIS = 5;
  /** Results of a transaction whose checkpoint never came are given up by the broker after this. */
  private static final String TRANSACTION_TIMEOUT_MILLIS = "60000";

  private FlinkJob() {}

  public static void main(String[] arguments) throws Exception {
    Settings settings = Settings.fromEnvironment();
    StreamExecutionEnvironment job =
        StreamExecutionEnvironment.createLocalEnvironment(settings.processes(), configuration(settings));
    job.enableCheckpointing(
        CHECKPOINT_MILLIS,
        settings.isExactlyOnce() ? CheckpointingMode.EXACTLY_ONCE : CheckpointingMode.AT_LEAST_ONCE);
    job.setBufferTimeout(BUFFER_TIMEOUT_MILLIS);
    DataStream<Fetched> records =
        job.fromSource(
                source(settings, settings.input(), records()), WatermarkStrategy.noWatermarks(), "records")
            .uid("records");
    BroadcastStream<Fetched> control =
        job.fromSource(
                source(settings, settings.control(), OffsetsInitializer.earliest()),
                WatermarkStrategy.noWatermarks(),
                "control")
            .setParallelism(1)
            .uid("control")
            .broadcast(Scoring.DESCRIPTOR, Scoring.VERSION, Scoring.VERSIONS);
    records
        .connect(control)
        .process(new Scoring(settings.input(), StartModel.find(settings)), new FetchedType())
        .uid("score")
        .sinkTo(sink(settings))
        .uid("results");
    job.execute(settings.group());
  }

  private static Configuration configuration(Settings settings) {
    Configuration configuration = new Configuration();
    configuration.set(PipelineOptions.OBJECT_REUSE, true);
    configuration.set(PipelineOptions.GENERIC_TYPES, false);
    configuration.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
    configuration.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, settings.state().toUri().toString());
    configuration.set(
        CheckpointingOptions.EXTERNALIZED_CHECKPOINT_RETENTION, ExternalizedCheckpointRetention.RETAIN_ON_CANCELLATION);
    configuration.set(RestartStrategyOptions.RESTART_STRATEGY, "fixed-delay");
    configuration.set(RestartStrategyOptions.RESTART_STRATEGY_FIXED_DELAY_ATTEMPTS, RESTARTS);
    configuration.set(RestartStrategyOptions.RESTART_STRATEGY_FIXED_DELAY_DELAY, Duration.ofSeconds(1));
    newestCheckpoint(settings.state())
        .ifPresent(
            found -> {
              configuration.set(StateRecoveryOptions.SAVEPOINT_PATH, found.toUri().toString());
              configuration.set(StateRecoveryOptions.RESTORE_MODE, RecoveryClaimMode.CLAIM);
            });
    return configuration;
  }

  /** A checkpoint is complete when its `_metadata` is there. */
  private static Optional<Path> newestCheckpoint(Path state) {
    try (Stream<Path> files = Files.walk(state)) {
      return files
          .filter(path -> path.endsWith("_metadata"))
          .max(Comparator.comparing(FlinkJob::modified))
          .map(Path::getParent);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private static long modified(Path path) {
    return path.toFile().lastModified();
  }

  private static OffsetsInitializer records() {
    return OffsetsInitializer.committedOffsets(OffsetResetStrategy.EARLIEST);
  }

  private static KafkaSource<Fetched> source(Settings settings, String topic, OffsetsInitializer from) {
    return KafkaSource.<Fetched>builder()
        .setBootstrapServers(settings.bootstrap())
        .setTopics(topic)
        .setGroupId(settings.group())
        .setStartingOffsets(from)
        .setDeserializer(new Reading())
        .setProperty("max.poll.records", "5000")
        .setProperty("check.crcs", "false")
        .setProperty("receive.buffer.bytes", "-1")
        .setProperty("enable.metrics.push", "false")
        .build();
  }

  private static KafkaSink<Fetched> sink(Settings settings) {
    Properties properties = settings.client();
    properties.put("acks", "all");
    properties.put("enable.idempotence", "true");
    properties.put("linger.ms", "5");
    properties.put("batch.size", "262144");
    properties.put("buffer.memory", "67108864");
    properties.put("send.buffer.bytes", "-1");
    properties.put("transaction.timeout.ms", TRANSACTION_TIMEOUT_MILLIS);
    KafkaSinkBuilder<Fetched> sink =
        KafkaSink.<Fetched>builder()
            .setBootstrapServers(settings.bootstrap())
            .setKafkaProducerConfig(properties)
            .setRecordSerializer(new Writing(settings.output()))
            .setDeliveryGuarantee(
                settings.isExactlyOnce() ? DeliveryGuarantee.EXACTLY_ONCE : DeliveryGuarantee.AT_LEAST_ONCE);
    if (settings.isExactlyOnce()) {
      sink.setTransactionalIdPrefix(settings.group());
    }
    return sink.build();
  }
}
