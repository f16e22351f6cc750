package peers;

import java.io.IOException;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.base.TypeSerializerSingleton;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/**
 * A record between the operators: as it was fetched, and after scoring with the result as its value.
 *
 * <p>Flink reuses these objects where they are chained. Between the source and the scoring operator, which has two inputs and
 * so cannot be chained to either, they are written to memory and read again by `Serializer`.
 */
public final class Fetched {
  byte[] key;
  byte[] value;
  boolean isTyped;
  int partition;
  long offset;
  long timestampMs;

  /** By hand: the generic serializer of Flink's tuples boxes every number. */
  public static final class Serializer extends TypeSerializerSingleton<Fetched> {
    static final Serializer INSTANCE = new Serializer();

    private static final int ABSENT = -1;

    @Override
    public void serialize(Fetched from, DataOutputView to) throws IOException {
      write(from.key, to);
      write(from.value, to);
      to.writeBoolean(from.isTyped);
      to.writeInt(from.partition);
      to.writeLong(from.offset);
      to.writeLong(from.timestampMs);
    }

    @Override
    public Fetched deserialize(Fetched reuse, DataInputView from) throws IOException {
      reuse.key = read(from);
      reuse.value = read(from);
      reuse.isTyped = from.readBoolean();
      reuse.partition = from.readInt();
      reuse.offset = from.readLong();
      reuse.timestampMs = from.readLong();
      return reuse;
    }

    @Override
    public Fetched deserialize(DataInputView from) throws IOException {
      return deserialize(new Fetched(), from);
    }

    @Override
    public void copy(DataInputView from, DataOutputView to) throws IOException {
      serialize(deserialize(from), to);
    }

    @Override
    public Fetched copy(Fetched from, Fetched reuse) {
      reuse.key = from.key;
      reuse.value = from.value;
      reuse.isTyped = from.isTyped;
      reuse.partition = from.partition;
      reuse.offset = from.offset;
      reuse.timestampMs = from.timestampMs;
      return reuse;
    }

    @Override
    public Fetched copy(Fetched from) {
      return copy(from, new Fetched());
    }

    @Override
    public Fetched createInstance() {
      return new Fetched();
    }

    @Override
    public boolean isImmutableType() {
      return false;
    }

    @Override
    public int getLength() {
      return -1;
    }

    @Override
    public TypeSerializerSnapshot<Fetched> snapshotConfiguration() {
      return new Snapshot();
    }

    private static void write(byte[] bytes, DataOutputView to) throws IOException {
      to.writeInt(bytes == null ? ABSENT : bytes.length);
      if (bytes != null) {
        to.write(bytes);
      }
    }

    private static byte[] read(DataInputView from) throws IOException {
      int length = from.readInt();
      if (length == ABSENT) {
        return null;
      }
      byte[] bytes = new byte[length];
      from.readFully(bytes);
      return bytes;
    }
  }

  /** How a checkpoint names the serializer. */
  public static final class Snapshot extends SimpleTypeSerializerSnapshot<Fetched> {
    public Snapshot() {
      super(() -> Serializer.INSTANCE);
    }
  }
}
