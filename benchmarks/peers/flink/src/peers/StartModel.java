package peers;

import java.io.IOException;
import java.io.Serializable;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * The model that a job starts with where no checkpoint has one: it travels with the operator.
 *
 * @param pmml the document
 */
record StartModel(String name, long version, long controlOffset, byte[] pmml) implements Serializable {
  /** The newest model on the control log, else that of the settings. */
  static StartModel find(Settings settings) throws IOException {
    if (!settings.control().isEmpty()) {
      ServedModel newest = ControlLog.newest(settings);
      if (newest != null) {
        return new StartModel(newest.name, newest.version, newest.controlOffset, newest.pmml);
      }
    }
    return new StartModel(Models.START_NAME, 0, -1, Files.readAllBytes(Path.of(settings.model())));
  }

  ServedModel load() {
    return new ServedModel(name, version, controlOffset, pmml);
  }
}
