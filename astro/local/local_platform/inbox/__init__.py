"""The inbox of the local platform: plays Slack, PagerDuty and a mail server, and shows what they received.

The wire formats are the real ones, so product code needs no second path: the Slack Web API under `/api/`,
PagerDuty's Events API v2 under `/v2/enqueue`, SMTP on a port of its own. Everything is on disk before it is
acknowledged.
"""
