"""An engine that runs a Windmill workspace folder on one machine, behind Windmill's HTTP API."""
