"""Between network and bytes: windows, batches, rate allocation, headers, arguments, results."""
