"""Where the CPU time of a worker goes, stage by stage."""
