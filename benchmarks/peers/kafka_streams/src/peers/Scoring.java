package peers;

import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;

/** Decodes, scores and encodes a record; one object a task, so for one thread. */
final class Scoring implements Processor<byte[], byte[], byte[], byte[]> {
  private final ServingModel serving;
  private final WineDecoder decoder = new WineDecoder();
  private final String topic;
  private ResultEncoder encoder;
  private ProcessorContext<byte[], byte[]> context;

  Scoring(ServingModel serving, String topic) {
    this.serving = serving;
    this.topic = topic;
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> given) {
    context = given;
    encoder = new ResultEncoder(topic, "kafka-streams-" + given.taskId());
  }

  @Override
  public void process(Record<byte[], byte[]> record) {
    RecordMetadata at = context.recordMetadata().orElseThrow();
    Wine wine = decoder.deserialize(topic, record.value());
    if (wine == null) {
      System.err.println("not a wine: partition " + at.partition() + ", offset " + at.offset());
      return;
    }
    byte[] result = encoder.scored(serving.get(), wine, at.partition(), at.offset(), record.timestamp());
    context.forward(record.withValue(result));
  }
}
