package peers;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.BroadcastState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.functions.co.BroadcastProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Scores records with the model that the control log announced last.
 *
 * <p>Broadcast state keeps the descriptor that serves and its version, by its control offset, and how many versions each name
 * has; they outlive a restart from a checkpoint. The model made of them is no state: it is loaded with the first record.
 */
final class Scoring extends BroadcastProcessFunction<Fetched, Fetched, Fetched> {
  static final MapStateDescriptor<Long, byte[]> DESCRIPTOR =
      new MapStateDescriptor<>("descriptor", Types.LONG, PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO);
  static final MapStateDescriptor<Long, Long> VERSION = new MapStateDescriptor<>("version", Types.LONG, Types.LONG);
  static final MapStateDescriptor<String, Long> VERSIONS = new MapStateDescriptor<>("versions", Types.STRING, Types.LONG);

  private final String topic;
  private final StartModel start;
  private transient WineDecoder decoder;
  private transient ResultEncoder encoder;
  private transient ServedModel serving;

  Scoring(String topic, StartModel start) {
    this.topic = topic;
    this.start = start;
  }

  @Override
  public void open(OpenContext unused) {
    decoder = new WineDecoder();
    int subtask = getRuntimeContext().getTaskInfo().getIndexOfThisSubtask();
    encoder = new ResultEncoder(topic, "flink-" + subtask);
    System.out.println("ready");
  }

  @Override
  public void processElement(Fetched record, ReadOnlyContext context, Collector<Fetched> out) throws Exception {
    if (serving == null) {
      serving = restored(context);
    }
    Wine wine = decoder.deserialize(topic, record.value);
    if (wine == null) {
      System.err.println("not a wine: partition " + record.partition + ", offset " + record.offset);
      return;
    }
    record.value = encoder.scored(serving, wine, record.partition, record.offset, record.timestampMs);
    out.collect(record);
  }

  @Override
  public void processBroadcastElement(Fetched control, Context context, Collector<Fetched> out) throws Exception {
    BroadcastState<String, Long> versions = context.getBroadcastState(VERSIONS);
    Map<String, Long> counted = new HashMap<>();
    for (Map.Entry<String, Long> entry : versions.entries()) {
      counted.put(entry.getKey(), entry.getValue());
    }
    Models.Announced announced = new Models(counted).read(control.offset, control.value, control.isTyped);
    versions.putAll(counted);
    // The model to start with may be a newer one: the log was read to its end before the job was started.
    if (announced == null || control.offset <= start.controlOffset()) {
      return;
    }
    ServedModel newest = Models.newest(List.of(announced));
    if (newest != null) {
      serving = newest;
      BroadcastState<Long, byte[]> descriptor = context.getBroadcastState(DESCRIPTOR);
      descriptor.clear();
      descriptor.put(control.offset, control.value);
      BroadcastState<Long, Long> version = context.getBroadcastState(VERSION);
      version.clear();
      version.put(control.offset, announced.version());
    }
  }

  private ServedModel restored(ReadOnlyContext context) throws Exception {
    for (Map.Entry<Long, byte[]> kept : context.getBroadcastState(DESCRIPTOR).immutableEntries()) {
      long offset = kept.getKey();
      if (offset > start.controlOffset()) {
        long version = context.getBroadcastState(VERSION).get(offset);
        return new Models.Announced(ModelDescriptor.read(kept.getValue()), version, offset).load();
      }
    }
    return start.load();
  }
}
