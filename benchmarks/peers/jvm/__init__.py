"""What the peers on the JVM share: how they are installed and compiled, and the Java that is the same in all of them."""
