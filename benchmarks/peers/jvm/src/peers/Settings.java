package peers;

import java.nio.file.Path;
import java.util.Map;
import java.util.Properties;

/** What the environment says; see benchmarks/peer.py. An empty model path means: relay the bytes. */
record Settings(
    String bootstrap,
    String input,
    String output,
    String control,
    String group,
    boolean isExactlyOnce,
    String model,
    Path state,
    int processes) {

  static Settings fromEnvironment() {
    Map<String, String> env = System.getenv();
    return new Settings(
        required(env, "BOOTSTRAP"),
        required(env, "INPUT"),
        required(env, "OUTPUT"),
        env.getOrDefault("CONTROL", ""),
        required(env, "GROUP"),
        env.getOrDefault("DELIVERY", "at_least_once").equals("exactly_once"),
        env.getOrDefault("MODEL", ""),
        Path.of(env.getOrDefault("STATE", "")),
        Integer.parseInt(env.getOrDefault("PROCESSES", "1")));
  }

  boolean isRelay() {
    return model.isEmpty();
  }

  Properties client() {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", bootstrap);
    // Nothing here reads metrics; without this the clients push them to brokers that collect them (KIP-714).
    properties.put("enable.metrics.push", "false");
    return properties;
  }

  private static String required(Map<String, String> env, String name) {
    String value = env.get(name);
    if (value == null || value.isEmpty()) {
      throw new IllegalArgumentException("the environment variable " + name + " must be set, see benchmarks/peer.py");
    }
    return value;
  }
}
