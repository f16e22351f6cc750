package peers;

import com.google.protobuf.CodedInputStream;
import java.io.IOException;

/**
 * What a peer reads of `modelserving.v1.ModelDescriptor`.
 *
 * @param dataType of the records that it scores
 * @param data the artifact's bytes; null if the descriptor has none
 */
record ModelDescriptor(String name, String dataType, boolean isPmml, byte[] data) {
  private static final int NAME_TAG = 1 << 3 | 2;
  private static final int DATA_TYPE_TAG = 3 << 3 | 2;
  private static final int MODEL_TYPE_TAG = 4 << 3;
  private static final int DATA_TAG = 5 << 3 | 2;
  private static final int PMML = 2;

  /** Throws IOException if `bytes` are not a message. */
  static ModelDescriptor read(byte[] bytes) throws IOException {
    CodedInputStream in = CodedInputStream.newInstance(bytes);
    String name = "";
    String dataType = "";
    int type = 0;
    byte[] data = null;
    for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
      switch (tag) {
        case NAME_TAG -> name = in.readStringRequireUtf8();
        case DATA_TYPE_TAG -> dataType = in.readStringRequireUtf8();
        case MODEL_TYPE_TAG -> type = in.readEnum();
        case DATA_TAG -> data = in.readByteArray();
        default -> in.skipField(tag);
      }
    }
    return new ModelDescriptor(name, dataType, type == PMML, data);
  }
}
