internal import Glibc
internal import SquallEngine
internal import SquallLoad
internal import SquallTLS

/// One connection to a target for one exchange: a blocking socket, with TLS when the plan has it.
struct TargetStream {
  /// Why TLS failed, beside what sockets fail with.
  enum Failure: Error {
    case socket(SystemError)
    case tls(TLSConnection.Failure)
    /// What the target agreed to instead of what is to be spoken; empty for nothing.
    case otherProtocol(String)
  }

  private let socket: Socket
  private let tls: TLSConnection?
  /// What came behind the handshake.
  private var early: [UInt8] = []
  let facts: TLSFacts?

  /// Over a socket that is connected, without TLS.
  init(over socket: Socket) {
    self.socket = socket
    tls = nil
    facts = nil
  }

  init(to address: Address, _ plan: Plan) throws(Failure) {
    try self.init(
      to: address, plan.origin.tls, speaksHTTP2: plan.connections.streams > 0,
      timeoutNs: min(plan.times.connectTimeoutNs, plan.times.timeoutNs))
  }

  init(
    to address: Address, _ tlsPlan: TLSPlan?, speaksHTTP2: Bool = false, timeoutNs: UInt64
  ) throws(Failure) {
    let socket = try Self.connect(to: address, timeoutNs: timeoutNs)
    if let tlsPlan {
      let (tls, early) = try Self.secure(socket, tlsPlan)
      facts = tls.facts
      self.tls = tls
      self.early = early
    } else {
      facts = nil
      tls = nil
    }
    self.socket = socket
    let spoken = facts?.applicationProtocol ?? ""
    if tlsPlan != nil && speaksHTTP2 != (spoken == "h2") { throw .otherProtocol(spoken) }
  }

  private static func connect(
    to address: Address, timeoutNs: UInt64
  ) throws(Failure) -> Socket {
    do throws(SystemError) {
      return try Socket(to: address, timeoutNs: timeoutNs)
    } catch {
      throw .socket(error)
    }
  }

  /// Returns what came behind the handshake as well.
  private static func secure(
    _ socket: Socket, _ plan: TLSPlan
  ) throws(Failure) -> (TLSConnection, [UInt8]) {
    do throws(TLSConnection.Failure) {
      let tls = try TLSConnection(try context(plan), name: plan.serverName)
      return (tls, try shake(tls, over: socket))
    } catch {
      throw .tls(error)
    }
  }

  private static func context(_ plan: TLSPlan) throws(TLSConnection.Failure) -> TLSContext {
    do throws(TLSContext.Refusal) {
      return try TLSContext(plan)
    } catch {
      throw TLSConnection.Failure(reason: .other, alert: 0, words: error.description)
    }
  }

  private static func shake(
    _ tls: TLSConnection, over socket: Socket
  ) throws(TLSConnection.Failure) -> [UInt8] {
    var early = try tls.receive([])
    while !tls.isSecured {
      let chunk: [UInt8]
      do throws(SystemError) {
        try socket.send(tls.output())
        chunk = try socket.receive()
      } catch {
        throw TLSConnection.Failure(
          reason: error.errno == EAGAIN ? .timedOut : .closed, alert: 0, words: "\(error)")
      }
      guard !chunk.isEmpty else {
        throw TLSConnection.Failure(reason: .closed, alert: 0, words: "")
      }
      do throws(TLSConnection.Failure) { early += try tls.receive(chunk) } catch {
        // The alert that tells the target why (RFC 8446 section 6.2).
        try? socket.send(tls.output())
        throw error
      }
    }
    return early
  }

  mutating func send(_ bytes: [UInt8]) throws(Failure) {
    var bytes = bytes
    do throws(TLSConnection.Failure) {
      if let tls { bytes = tls.output() + (try tls.seal(bytes)) }
    } catch {
      throw .tls(error)
    }
    do throws(SystemError) { try socket.send(bytes) } catch { throw .socket(error) }
  }

  /// Empty at the end of the stream.
  mutating func receive() throws(Failure) -> [UInt8] {
    if !early.isEmpty {
      defer { early = [] }
      return early
    }
    while true {
      let chunk: [UInt8]
      do throws(SystemError) { chunk = try socket.receive() } catch { throw .socket(error) }
      guard !chunk.isEmpty, let tls else { return chunk }
      do throws(TLSConnection.Failure) {
        let plain = try tls.receive(chunk)
        if !plain.isEmpty || tls.wasClosed { return plain }
      } catch {
        throw .tls(error)
      }
    }
  }
}

extension TargetStream.Failure {
  /// As the rest of a sentence that begins with the target, and what to do.
  var sentence: String {
    switch self {
    case .socket(let error): return "\(error)"
    case .tls(let failure):
      let words = failure.words.isEmpty ? "" : " (\(failure.words))"
      return "\(failure.reason.explanation)\(words): \(failure.reason.remedy)"
    case .otherProtocol("h2"):
      return "agreed to h2, as --alpn offered: use --http2, or leave --alpn out"
    case .otherProtocol(let name):
      let spoken = name.isEmpty ? "agreed to no protocol" : "agreed to \(name)"
      return "does not speak HTTP/2 here, it \(spoken): use --http1.1"
    }
  }
}

/// A plain blocking socket that is connected.
final class Socket: Sendable {
  let descriptor: Int32
  /// How long that took.
  let connectNs: UInt64

  init(to address: Address, timeoutNs: UInt64) throws(SystemError) {
    let begunNs = monotonicNs()
    descriptor = try address.connect(timeoutNs: timeoutNs)
    connectNs = monotonicNs() - begunNs
  }

  deinit { close(descriptor) }

  func send(_ request: [UInt8]) throws(SystemError) {
    var rest = request[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes { rest in
        uninterrupted {
          unsafe Glibc.send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
        }
      }
      // The response may say why it wants no more of the body.
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }

  /// Empty at the end of the stream.
  func receive() throws(SystemError) -> [UInt8] {
    var chunk = [UInt8](repeating: 0, count: 65_536)
    let count = uninterrupted { unsafe recv(descriptor, &chunk, chunk.count, 0) }
    guard count >= 0 else { throw .last("recv") }
    return Array(chunk.prefix(count))
  }
}
