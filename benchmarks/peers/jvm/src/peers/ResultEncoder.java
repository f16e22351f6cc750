package peers;

import java.io.IOException;
import java.io.UncheckedIOException;
import com.google.protobuf.CodedOutputStream;
import java.io.ByteArrayOutputStream;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * Scores a record and writes its `modelserving.v1.ScoreResult`.
 *
 * <p>What is the same for all records of a partition (model, version, digest, topic, partition, control offset, worker) is
 * encoded once and copied; protobuf lets fields come in any order. Written for each record: data type (encoded once a type),
 * offset, timestamp, prediction. Not for use by several threads.
 */
final class ResultEncoder {
  private static final VarHandle DOUBLE = MethodHandles.byteArrayViewVarHandle(double[].class, ByteOrder.LITTLE_ENDIAN);
  private static final byte OFFSET_TAG = 7 << 3;
  private static final byte TIMESTAMP_TAG = 10 << 3;
  /** Numbers above 15 take two bytes: 16 with wire type 1, 18 with wire type 2. */
  private static final int PREDICTION_TAG = 16 << 3 | 1;
  private static final int SCORES_TAG = 18 << 3 | 2;

  private final String topic;
  private final String worker;
  private ServedModel model;
  private double[] numbers = {};
  private byte[][] constants = {};

  ResultEncoder(String topic, String worker) {
    this.topic = topic;
    this.worker = worker;
  }

  byte[] scored(ServedModel by, Wine wine, int partition, long offset, long timestampMs) {
    if (by != model) {
      model = by;
      numbers = new double[by.outputCount()];
      constants = new byte[0][];
    }
    by.score(wine.values(), numbers);
    byte[] constant = constant(partition);
    byte[] type = wine.dataType();
    byte[] result =
        new byte[constant.length + type.length + 2 + length(offset) + length(timestampMs) + numbersLength()];
    System.arraycopy(constant, 0, result, 0, constant.length);
    System.arraycopy(type, 0, result, constant.length, type.length);
    int at = constant.length + type.length;
    result[at++] = OFFSET_TAG;
    at = putVarint(result, at, offset);
    result[at++] = TIMESTAMP_TAG;
    at = putVarint(result, at, timestampMs);
    putNumbers(result, at);
    return result;
  }

  private int numbersLength() {
    return numbers.length == 1 ? 10 : 2 + length(8L * numbers.length) + 8 * numbers.length;
  }

  private void putNumbers(byte[] result, int at) {
    boolean isOne = numbers.length == 1;
    at = putVarint(result, at, isOne ? PREDICTION_TAG : SCORES_TAG);
    if (!isOne) {
      at = putVarint(result, at, 8L * numbers.length);
    }
    for (double number : numbers) {
      DOUBLE.set(result, at, number);
      at += 8;
    }
  }

  private byte[] constant(int partition) {
    if (partition >= constants.length) {
      constants = Arrays.copyOf(constants, partition + 1);
    }
    byte[] constant = constants[partition];
    return constant != null ? constant : (constants[partition] = encodeConstant(partition));
  }

  private byte[] encodeConstant(int partition) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    CodedOutputStream out = CodedOutputStream.newInstance(bytes);
    try {
      out.writeString(1, model.name);
      out.writeInt64(2, model.version);
      out.writeByteArray(3, model.sha256);
      out.writeString(5, topic);
      out.writeInt32(6, partition);
      out.writeInt64(8, model.controlOffset);
      out.writeString(9, worker);
      out.flush();
    } catch (IOException impossible) {
      throw new UncheckedIOException(impossible);
    }
    return bytes.toByteArray();
  }

  /** Bytes of a varint: seven bits a byte, a negative number has all 64. */
  private static int length(long value) {
    return (70 - Long.numberOfLeadingZeros(value | 1)) / 7;
  }

  private static int putVarint(byte[] into, int at, long value) {
    while ((value & ~0x7fL) != 0) {
      into[at++] = (byte) (value | 0x80);
      value >>>= 7;
    }
    into[at++] = (byte) value;
    return at;
  }
}
