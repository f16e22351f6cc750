package peers;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import org.pmml4s.common.StructType;
import org.pmml4s.data.DataVal;
import org.pmml4s.data.DoubleVal;
import org.pmml4s.data.GenericSeries;
import org.pmml4s.data.Series;
import org.pmml4s.metadata.OutputField;
import org.pmml4s.model.Model;

/**
 * A PMML document ready to score, and where it came from. Immutable; all threads share one.
 *
 * <p>PMML4S has six ways to predict. This is the one without conversions: a series of its own typed values in the order of
 * the document's used fields. Maps are looked up by name, `Object[]` is converted value by value and back.
 */
final class ServedModel {
  private static final String[] FIELDS = {
    "fixed_acidity", "volatile_acidity", "citric_acid", "residual_sugar", "chlorides", "free_sulfur_dioxide",
    "total_sulfur_dioxide", "density", "ph", "sulphates", "alcohol"
  };
  private static final int WARM_UP_ROWS = 1_000;

  final String name;
  final long version;
  final byte[] sha256;
  final long controlOffset;
  final byte[] pmml;

  private final Model model;
  /** Which measurement is which input of the model. */
  private final int[] measurementOfInput;
  private final int outputCount;

  /**
   * Reads and warms up, so that the first record does not wait for what PMML4S makes lazily.
   *
   * @param version counted by name from 1; 0 for a model that was not announced
   * @param controlOffset of the descriptor; -1 for a model that was not announced
   * @throws IllegalArgumentException the document asks for something that a wine has not
   */
  ServedModel(String name, long version, long controlOffset, byte[] pmml) {
    this.name = name;
    this.version = version;
    this.controlOffset = controlOffset;
    this.pmml = pmml;
    this.sha256 = sha256(pmml);
    model = Model.fromBytes(pmml);
    measurementOfInput = measurements(model.usedSchema());
    // A classifier that declares its outputs may leave the label out: then its outputs, the probabilities, are the result.
    int predicted = model.predictedValueIndex();
    OutputField[] declared = model.outputFields();
    OutputField[] written = predicted >= 0 ? new OutputField[] {declared[predicted]} : declared;
    // PMML4S makes the fields of a document that declares none anew for every record, unless it is told which.
    model.setOutputFields(written);
    outputCount = written.length;
    double[] row = new double[FIELDS.length];
    double[] into = new double[outputCount];
    for (int i = 0; i < WARM_UP_ROWS; i++) {
      score(row, into);
    }
  }

  /** How many numbers a record gets. */
  int outputCount() {
    return outputCount;
  }

  /** Scores `values`, in the order of the record's field numbers, and writes the numbers to `into`. */
  void score(double[] values, double[] into) {
    DataVal[] row = new DataVal[measurementOfInput.length];
    for (int i = 0; i < row.length; i++) {
      row[i] = new DoubleVal(values[measurementOfInput[i]]);
    }
    Series scored = model.predict((Series) new GenericSeries(row));
    for (int i = 0; i < outputCount; i++) {
      into[i] = number(scored.get(i));
    }
  }

  private static double number(DataVal value) {
    if (value instanceof DoubleVal number) {
      return number.value();
    }
    if (value == null || value.isMissing()) {
      return Double.NaN;
    }
    return value.isNumeric() ? value.toDouble() : Double.parseDouble(value.toString());
  }

  private static int[] measurements(StructType inputs) {
    String[] names = inputs.fieldNames();
    int[] found = new int[names.length];
    for (int i = 0; i < names.length; i++) {
      found[i] = Arrays.asList(FIELDS).indexOf(names[i]);
      if (found[i] < 0) {
        throw new IllegalArgumentException("the model asks for the field " + names[i] + ", which a wine has not");
      }
    }
    return found;
  }

  private static byte[] sha256(byte[] content) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(content);
    } catch (NoSuchAlgorithmException impossible) {
      throw new IllegalStateException(impossible);
    }
  }
}
