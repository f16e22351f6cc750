"""The main job to watch: records of our own making, models of every engine, and an account that must balance."""
