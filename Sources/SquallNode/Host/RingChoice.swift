internal import Glibc
internal import SquallEngine

/// What the rings of this program's processes stand on: asked for in words, settled once, so that all of
/// a host's workers are alike.
package struct RingChoice: Equatable, Sendable {
  /// The word where no flag gives one.
  package static let environmentName = "SQUALL_BACKEND"

  let backend: Backend

  /// Each ring takes what the kernel lets it have.
  package static let unsettled = RingChoice(backend: .auto)

  private init(backend: Backend) { self.backend = backend }

  /// Tries what `word` asks for, or the environment where it is nil. `say` is told in one line when
  /// that came to epoll by itself.
  package init(
    word: String?, say: (String) -> Void
  ) throws(Complaint) {
    let standing = unsafe getenv(Self.environmentName).map { unsafe String(cString: $0) }
    let asked = word ?? standing
    let wanted = try Self.backend(asked, from: word == nil ? Self.environmentName : "--backend")
    do throws(SystemError) {
      backend = try Ring.backend(for: wanted)
    } catch {
      throw .world(Ring.explain(error))
    }
    if wanted == .auto, backend == .epoll, let refusal = Ring.refusal(of: .ioUring) {
      say("note: epoll instead of io_uring (\(refusal)): \(Self.cost)")
    }
  }

  /// Complains of a word that names no backend, for whoever passes it on to another host.
  package static func check(_ word: String?) throws(Complaint) {
    _ = try backend(word, from: "--backend")
  }

  private static func backend(
    _ word: String?, from source: String
  ) throws(Complaint) -> Backend {
    guard let word else { return .auto }
    guard let backend = Backend(rawValue: word) else {
      throw .usage("\(source) '\(word)' is none of auto, io_uring, epoll.")
    }
    return backend
  }

  /// What epoll costs, and who tells more.
  static let cost =
    "two system calls more per request, a few percent of its CPU time under load. "
    + "squall doctor says how to allow io_uring."
}
