"""How the costs of a worker grow: with the control log, the models, the data types, the entities, the records, the batch."""
