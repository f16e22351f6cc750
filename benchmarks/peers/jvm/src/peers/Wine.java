package peers;

/**
 * One decoded record.
 *
 * @param values the eleven measurements in the order of their field numbers; an absent one is 0, as proto3 has it
 * @param dataType field 4 of the result, encoded: the same array for all records of one type
 */
record Wine(double[] values, byte[] dataType) {}
