package peers;

import java.util.ArrayList;
import java.util.List;
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
    ResultEncoder encoder = new ResultEncoder(settings.input(), ScoringLoop.worker(number));
    Function<ConsumerRecord<byte[], Wine>, byte[]> score =
        record ->
            record.value() == null
                ? null
                : encoder.scored(
                    control.serving(), record.value(), record.partition(), record.offset(), record.timestamp());
    return new ScoringLoop<>(settings, number, new WineDecoder(), score);
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
