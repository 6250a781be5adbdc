"""The service catalog: one YAML file that says what is promoted where, and by whose approval."""
