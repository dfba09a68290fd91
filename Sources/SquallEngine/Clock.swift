internal import CSquall

/// CLOCK_MONOTONIC in nanoseconds.
@inline(__always)
package func monotonicNs() -> UInt64 { squall_now_ns() }

/// The wall clock, in nanoseconds since 1970.
package func wallNs() -> UInt64 { squall_wall_ns() }
