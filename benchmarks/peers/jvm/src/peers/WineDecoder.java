package peers;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.Deserializer;

/**
 * Reads `wine.v1.WineRecord` where it lies in the fetched bytes, without a copy and without a message object.
 *
 * <p>Any valid encoding is read: fields in any order, unknown ones skipped, the last of a repeated one kept. What is not a
 * record becomes null. Not for use by several threads.
 */
public final class WineDecoder implements Deserializer<Wine> {
  static final int FIELDS = 11;

  private static final VarHandle DOUBLE = MethodHandles.byteArrayViewVarHandle(double[].class, ByteOrder.LITTLE_ENDIAN);
  private static final int DATA_TYPE_TAG = 12 << 3 | 2;
  private static final int RESULT_DATA_TYPE_TAG = 4 << 3 | 2;
  private static final byte[] NO_DATA_TYPE = {};
  /** Of these, all records of one type have the same array; of any beyond, each record has its own. */
  static final int MOST_KNOWN_TYPES = 64;
  private static final int MALFORMED = -1;

  private byte[][] knownTypes = {};

  @Override
  public Wine deserialize(String topic, byte[] data) {
    return data == null ? null : read(data, 0, data.length);
  }

  @Override
  public Wine deserialize(String topic, Headers headers, ByteBuffer data) {
    if (data == null) {
      return null;
    }
    if (data.hasArray()) {
      int start = data.arrayOffset() + data.position();
      return read(data.array(), start, start + data.remaining());
    }
    byte[] copy = new byte[data.remaining()];
    data.get(copy);
    return read(copy, 0, copy.length);
  }

  Wine read(byte[] bytes, int start, int end) {
    double[] values = new double[FIELDS];
    byte[] dataType = NO_DATA_TYPE;
    int at = start;
    while (at < end) {
      int tag = bytes[at];
      if ((tag & 7) == 1 && tag >= (1 << 3) && tag <= (FIELDS << 3 | 1)) {
        if (at + 9 > end) {
          return null;
        }
        values[(tag >> 3) - 1] = (double) DOUBLE.get(bytes, at + 1);
        at += 9;
      } else if (tag == DATA_TYPE_TAG && at + 1 < end && bytes[at + 1] >= 0) {
        int length = bytes[at + 1];
        if (at + 2 + length > end) {
          return null;
        }
        dataType = known(bytes, at + 2, length);
        at += 2 + length;
      } else {
        at = skip(bytes, at, end);
        if (at == MALFORMED) {
          return null;
        }
      }
    }
    return new Wine(values, dataType);
  }

  private byte[] known(byte[] bytes, int from, int length) {
    for (byte[] type : knownTypes) {
      if (Arrays.equals(type, 2, type.length, bytes, from, from + length)) {
        return type;
      }
    }
    byte[] type = new byte[2 + length];
    type[0] = RESULT_DATA_TYPE_TAG;
    type[1] = (byte) length;
    System.arraycopy(bytes, from, type, 2, length);
    if (knownTypes.length < MOST_KNOWN_TYPES) {
      knownTypes = Arrays.copyOf(knownTypes, knownTypes.length + 1);
      knownTypes[knownTypes.length - 1] = type;
    }
    return type;
  }

  /** Where the field after the unknown one at `at` begins. A data type of 128 bytes or more counts as unknown. */
  private static int skip(byte[] bytes, int at, int end) {
    int wireType = bytes[at] & 7;
    at = afterVarint(bytes, at, end);
    if (at == MALFORMED) {
      return MALFORMED;
    }
    switch (wireType) {
      case 0:
        return afterVarint(bytes, at, end);
      case 1:
        at += 8;
        break;
      case 5:
        at += 4;
        break;
      case 2:
        long length = 0;
        int shift = 0;
        byte next;
        do {
          if (at == end || shift > 28) {
            return MALFORMED;
          }
          next = bytes[at++];
          length |= (long) (next & 0x7f) << shift;
          shift += 7;
        } while (next < 0);
        if (length > end - at) {
          return MALFORMED;
        }
        at += (int) length;
        break;
      default:
        return MALFORMED;
    }
    return at > end ? MALFORMED : at;
  }

  private static int afterVarint(byte[] bytes, int at, int end) {
    for (int last = Math.min(end, at + 10); at < last; at++) {
      if (bytes[at] >= 0) {
        return at + 1;
      }
    }
    return MALFORMED;
  }
}
