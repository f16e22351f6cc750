"""Models that take milliseconds a record: one window of 10,080 steps with 8 values each, one model and ten of them.

models      makes them with Keras, and what Keras says of some windows
forms       the same model written in other ways, to see which of them pays
contenders  processes that score windows when they are told to, one core and one thread each
contender   such a process
served      a process with MLServer, and its client
scoring     all contenders, round by round
settings, site   a worker with a heavy and a light model, and what it needs on Kafka
whole       the worker from record to result
sharing     what the light model's records wait when the heavy one is at work
"""
