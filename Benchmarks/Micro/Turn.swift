import Benchmark
import Glibc
import SquallEngine

/// The cost of the ring itself: writes to /dev/null, which do next to nothing in the kernel. Left
/// out where io_uring is off.
func ringBenchmarks() {
  guard Ring.refusal(of: .ioUring) == nil else { return }
  for width in [1, 64] {
    Benchmark("ring-turn-of-\(width)", configuration: .single) {
      benchmark in
      var options = Ring.Options(connections: 64)
      options.backend = .ioUring
      let ring = try Ring(options)
      let sink = open("/dev/null", O_WRONLY | O_CLOEXEC)
      defer { close(sink) }
      let one: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0]
      let completions = UnsafeMutableBufferPointer<Completion>.allocate(capacity: 256)
      defer { completions.deallocate() }
      try one.withUnsafeBytes { bytes in
        try benchmark.counting {
          for slot in 0..<UInt32(width) {
            blackHole(ring.write(fd: sink, bytes: bytes, token: Token(operation: 1, slot: slot)))
          }
          var done = 0
          while done < width {
            try ring.enter(deadlineNs: .max)
            done += ring.take(completions)
          }
        }
      }
    }
  }
}
