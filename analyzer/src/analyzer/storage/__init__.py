"""What outlives a request: model versions, experiments, keys, jobs, counts; and a cache of verdicts."""
