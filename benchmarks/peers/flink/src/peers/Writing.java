package peers;

import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.kafka.clients.producer.ProducerRecord;

/** Our record to Kafka's. */
final class Writing implements KafkaRecordSerializationSchema<Fetched> {
  private final String topic;

  Writing(String topic) {
    this.topic = topic;
  }

  @Override
  public ProducerRecord<byte[], byte[]> serialize(Fetched result, KafkaSinkContext context, Long timestamp) {
    return new ProducerRecord<>(topic, result.key, result.value);
  }
}
