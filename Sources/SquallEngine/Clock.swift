internal import CSquall

/// CLOCK_MONOTONIC in nanoseconds.
@inline(__always)
package func monotonicNs() -> UInt64 { squall_now_ns() }
