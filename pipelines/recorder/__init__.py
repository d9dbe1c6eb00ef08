"""Records public websocket streams into the landing. The streams are declared in pipelines/sources; parsing is theirs too."""
