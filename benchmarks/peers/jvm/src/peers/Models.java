package peers;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * From descriptors on the control log to models: versions are counted by name, the newest that can be loaded serves.
 *
 * <p>For one thread, the one that reads the control log.
 */
final class Models {
  /** The model of the settings has no descriptor that names it. */
  static final String START_NAME = "wine";

  /** A descriptor and where it stands. */
  record Announced(ModelDescriptor descriptor, long version, long offset) {
    /** Loads the model. Throws whatever PMML4S throws at a document that it cannot read. */
    ServedModel load() {
      if (!descriptor.isPmml() || descriptor.data() == null) {
        throw new IllegalArgumentException("only PMML in `data` can be served");
      }
      return new ServedModel(descriptor.name(), version, offset, descriptor.data());
    }
  }

  private final Map<String, Long> versions;

  Models() {
    this(new HashMap<>());
  }

  /** Goes on counting where `versions`, by name, stands; it is changed. */
  Models(Map<String, Long> versions) {
    this.versions = versions;
  }

  /** The next record of the log, in order; null if it is no descriptor. */
  Announced read(long offset, byte[] value, boolean isTyped) {
    if (isTyped || value == null) {
      return null;
    }
    try {
      ModelDescriptor descriptor = ModelDescriptor.read(value);
      return new Announced(descriptor, versions.merge(descriptor.name(), 1L, Long::sum), offset);
    } catch (IOException error) {
      warn(offset, error);
      return null;
    }
  }

  /** The newest of `announced` that can be loaded; null if none can. */
  static ServedModel newest(List<Announced> announced) {
    for (Announced next : new ArrayList<>(announced).reversed()) {
      try {
        return next.load();
      } catch (RuntimeException error) {
        warn(next.offset(), error);
      }
    }
    return null;
  }

  private static void warn(long offset, Exception error) {
    System.err.println("control record " + offset + " changes nothing: " + error);
  }
}
