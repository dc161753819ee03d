"""Live packets over RTP, without sockets or clocks: the caller provides datagrams and the time."""
