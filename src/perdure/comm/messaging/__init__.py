"""How does a message get from one rank to another, and when is a call complete? Connections, matching, requests."""
