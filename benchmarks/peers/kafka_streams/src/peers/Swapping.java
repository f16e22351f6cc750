package peers;

import java.util.List;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/** Follows the control log in the thread of the global store, at the start from its beginning. */
final class Swapping implements Processor<byte[], byte[], Void, Void> {
  private final ServingModel serving;
  private final Models models = new Models();
  private ProcessorContext<Void, Void> context;

  Swapping(ServingModel serving) {
    this.serving = serving;
  }

  @Override
  public void init(ProcessorContext<Void, Void> given) {
    context = given;
  }

  @Override
  public void process(Record<byte[], byte[]> record) {
    long offset = context.recordMetadata().orElseThrow().offset();
    boolean isTyped = record.headers().lastHeader("sluice-type") != null;
    Models.Announced announced = models.read(offset, record.value(), isTyped);
    ServedModel newest = announced == null ? null : Models.newest(List.of(announced));
    if (newest != null) {
      serving.replace(newest);
    }
  }
}
