package peers;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Puts the parts together: the control log, as many loops as processes are asked for, an orderly end at SIGTERM. */
public final class JavaLoop {
  private static final long STOP_MILLIS = 15_000;

  private JavaLoop() {}

  public static void main(String[] arguments) throws Exception {
    Settings settings = Settings.fromEnvironment();
    ControlLog control = settings.isRelay() ? null : new ControlLog(settings);
    List<ScoringLoop<?>> loops = new ArrayList<>();
    for (int number = 0; number < settings.processes(); number++) {
      loops.add(settings.isRelay() ? relay(settings, number) : scoring(settings, number, control));
    }
    List<Thread> threads = new ArrayList<>();
    for (ScoringLoop<?> loop : loops) {
      threads.add(Thread.ofPlatform().name(loop.worker()).start(loop));
    }
    Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(loops, threads)));
  }

  private static ScoringLoop<?> relay(Settings settings, int number) {
    return new ScoringLoop<>(settings, number, new ByteArrayDeserializer(), ConsumerRecord::value);
  }

  private static ScoringLoop<?> scoring(Settings settings, int number, ControlLog control) {
    // The decoder gives all records of one data type the same array, so that it can be looked up without a string.
    Map<byte[], ScoredType> types = new IdentityHashMap<>();
    Function<ConsumerRecord<byte[], Wine>, byte[]> score =
        record -> {
          Wine wine = record.value();
          if (wine == null) {
            return null;
          }
          ScoredType type = types.get(wine.dataType());
          if (type == null) {
            type = new ScoredType(settings, number, control, wine.dataType());
            if (types.size() < WineDecoder.MOST_KNOWN_TYPES) {
              types.put(wine.dataType(), type);
            }
          }
          ServedModel model = type.slot.serving();
          return model == null
              ? null
              : type.encoder.scored(model, wine, record.partition(), record.offset(), record.timestamp());
        };
    return new ScoringLoop<>(settings, number, new WineDecoder(), score);
  }

  /** What records of one data type are scored and written with. */
  private static final class ScoredType {
    private final ControlLog.Slot slot;
    private final ResultEncoder encoder;

    private ScoredType(Settings settings, int number, ControlLog control, byte[] encoded) {
      // A field of a result: tag, length, text.
      String name = encoded.length == 0 ? "" : new String(encoded, 2, encoded.length - 2, StandardCharsets.UTF_8);
      slot = control.slot(name);
      encoder = new ResultEncoder(settings.input(), ScoringLoop.worker(number));
    }
  }

  private static void stop(List<ScoringLoop<?>> loops, List<Thread> threads) {
    loops.forEach(ScoringLoop::stop);
    try {
      for (Thread thread : threads) {
        thread.join(STOP_MILLIS);
      }
    } catch (InterruptedException hurried) {
      Thread.currentThread().interrupt();
    }
  }
}
