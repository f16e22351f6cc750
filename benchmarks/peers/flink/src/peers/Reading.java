package peers;

import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** Kafka's record to ours, into one object that is written to the next operator's buffer before the next record comes. */
final class Reading implements KafkaRecordDeserializationSchema<Fetched> {
  private transient Fetched reused;

  @Override
  public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Fetched> out) {
    if (reused == null) {
      reused = new Fetched();
    }
    reused.key = record.key();
    reused.value = record.value();
    reused.isTyped = record.headers().lastHeader("sluice-type") != null;
    reused.partition = record.partition();
    reused.offset = record.offset();
    reused.timestampMs = record.timestamp();
    out.collect(reused);
  }

  @Override
  public TypeInformation<Fetched> getProducedType() {
    return new FetchedType();
  }
}
