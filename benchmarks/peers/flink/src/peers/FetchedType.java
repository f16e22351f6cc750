package peers;

import org.apache.flink.api.common.serialization.SerializerConfig;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeutils.TypeSerializer;

/** Tells Flink to use the serializer of `Fetched`. */
final class FetchedType extends TypeInformation<Fetched> {
  @Override
  public TypeSerializer<Fetched> createSerializer(SerializerConfig unused) {
    return Fetched.Serializer.INSTANCE;
  }

  @Override
  public Class<Fetched> getTypeClass() {
    return Fetched.class;
  }

  @Override
  public boolean isBasicType() {
    return false;
  }

  @Override
  public boolean isTupleType() {
    return false;
  }

  @Override
  public boolean isKeyType() {
    return false;
  }

  @Override
  public int getArity() {
    return 1;
  }

  @Override
  public int getTotalFields() {
    return 1;
  }

  @Override
  public boolean canEqual(Object other) {
    return other instanceof FetchedType;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof FetchedType;
  }

  @Override
  public int hashCode() {
    return FetchedType.class.hashCode();
  }

  @Override
  public String toString() {
    return "Fetched";
  }
}
