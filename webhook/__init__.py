"""Everything that talks to Azure: the public server, payloads, the delivery journal."""
