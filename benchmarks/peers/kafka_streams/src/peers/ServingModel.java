package peers;

/** The model that serves now: one reference for all threads. */
final class ServingModel {
  private volatile ServedModel model;

  ServingModel(ServedModel first) {
    model = first;
  }

  ServedModel get() {
    return model;
  }

  void replace(ServedModel by) {
    model = by;
  }
}
