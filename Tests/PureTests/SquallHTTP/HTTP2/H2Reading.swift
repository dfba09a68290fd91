import SquallHTTP
import Testing

/// An event as a value that can be compared and kept.
enum H2Note: Equatable {
  case head(UInt32, UInt16)
  case body(UInt32, [UInt8])
  case ended(UInt32, UInt16, UInt64)
  case reset(UInt32, H2ErrorCode)
  case unprocessed(UInt32)
  case settings
  case goAway(H2ErrorCode)
  case violation(H2Violation, UInt32?)
}

/// One connection, driven by hand: what it was given, what it said.
struct H2Client: ~Copyable {
  var connection: H2Connection
  var reader = ResponseHeadReader()
  private let memory: UnsafeMutableRawBufferPointer
  /// All that was sent.
  private(set) var sent: [UInt8] = []
  var notes: [H2Note] = []

  /// What `open` takes.
  enum Request: Int, CaseIterable { case get, head, post, large }

  static let postByteCount = 100_000
  static let post = (0..<postByteCount).map { UInt8(truncatingIfNeeded: $0 / 7) }

  /// Rendered once, and only read after that.
  nonisolated(unsafe) private static let requests = H2Requests(templates())

  private static func templates() -> [H2RequestTemplate] {
    func template(_ method: String, _ body: [UInt8], headers: [(String, String)] = [])
      -> H2RequestTemplate
    {
      do {
        return try H2RequestTemplate(
          method: method, scheme: "http", target: "/path", host: "example.org:8080",
          headers: headers.map { (name: $0.0, value: $0.1) }, body: body, userAgent: "squall/1")
      } catch {
        preconditionFailure("\(error)")
      }
    }
    let large = (0..<40).map { ("x-large-\($0)", String(repeating: "~", count: 700)) }
    return [
      template("GET", []), template("HEAD", []), template("POST", post),
      template("GET", [], headers: large),
    ]
  }

  init(streamCountMax: UInt32 = 100, firstID: UInt32 = 1) {
    connection = H2Connection(streamCountMax: streamCountMax, firstID: firstID)
    memory = .allocate(byteCount: 64 << 10, alignment: 16)
  }

  deinit { memory.deallocate() }

  /// Opens a stream and returns its number.
  @discardableResult
  mutating func open(
    _ request: Request = .get, tag: UInt32, showsBody: Bool = false, keepsFields: Bool = false
  ) -> UInt32 {
    while true {
      var output = OutgoingBytes(memory)
      let id = connection.open(
        Self.requests[request.rawValue], tag: tag, showsBody: showsBody, keepsFields: keepsFields,
        into: &output)
      sent += memory[..<output.byteCount]
      if let id { return id }
      precondition(output.byteCount > 0, "an empty buffer was not enough")
    }
  }

  /// Sends what is due, in buffers of `byteCount`.
  mutating func flush(byteCount: Int = 64 << 10) {
    while connection.hasOutput {
      var output = OutgoingBytes(UnsafeMutableRawBufferPointer(rebasing: memory[..<byteCount]))
      connection.write(into: &output)
      sent += memory[..<output.byteCount]
      guard output.byteCount > 0 else { return }
    }
  }

  /// What was sent since the last time.
  mutating func takeSent() -> [H2SentFrame] {
    flush()
    defer { sent = [] }
    return H2SentFrame.all(in: sent) ?? []
  }

  /// Reads `bytes` and returns what they came to.
  @discardableResult
  mutating func receive(_ bytes: [UInt8]) -> [H2Note] {
    let count = notes.count
    bytes.withUnsafeBytes { read($0) }
    return Array(notes[count...])
  }

  mutating func receive(_ bytes: ArraySlice<UInt8>, in memory: GuardedBytes) {
    memory.lend(bytes) { read($0) }
  }

  private mutating func read(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    while true {
      switch connection.next(&rest, reader: &reader) {
      case .needsMore:
        precondition(rest.isEmpty, "bytes were left unread")
        return
      case .head(let tag, let status): notes.append(.head(tag, status))
      case .body(let tag, let bytes):
        precondition(!bytes.isEmpty, "an empty piece of a body")
        if case .body(tag, let before) = notes.last {
          notes[notes.count - 1] = .body(tag, before + Array(bytes))
        } else {
          notes.append(.body(tag, Array(bytes)))
        }
      case .ended(let tag, let status, let bodyByteCount):
        notes.append(.ended(tag, status, bodyByteCount))
      case .reset(let tag, let code): notes.append(.reset(tag, code))
      case .unprocessed(let tag): notes.append(.unprocessed(tag))
      case .settings: notes.append(.settings)
      case .goAway(let code): notes.append(.goAway(code))
      case .violation(let violation, let tag):
        // Said again for good, but of no stream.
        if case .violation = notes.last { return }
        notes.append(.violation(violation, tag))
        return
      }
    }
  }

  /// The requests that nothing was heard of.
  mutating func popAll() -> [UInt32] {
    var tags: [UInt32] = []
    while let tag = connection.popStream() { tags.append(tag) }
    return tags.sorted()
  }
}

/// What a whole conversation came to.
struct H2Reading: Equatable {
  var notes: [H2Note]
  /// Requests that nothing was heard of.
  var left: [UInt32]
  var sent: [UInt8]

  /// Opens `opens`, their tags from 0 on, and reads `pieces`.
  init(_ conversation: H2Conversation, _ pieces: [ArraySlice<UInt8>], in memory: GuardedBytes) {
    var client = H2Client()
    for (tag, open) in conversation.opens.enumerated() {
      client.open(
        open.request, tag: UInt32(tag), showsBody: open.showsBody, keepsFields: tag % 2 == 1)
    }
    for piece in pieces { client.receive(piece, in: memory) }
    notes = client.notes
    // Each request has one end.
    let ended = notes.compactMap { note -> UInt32? in
      switch note {
      case .ended(let tag, _, _), .reset(let tag, _), .unprocessed(let tag): tag
      default: nil
      }
    }
    precondition(UInt32(conversation.opens.count - ended.count) == client.connection.streamCount)
    left = client.popAll()
    precondition(
      (ended + left).sorted() == (0..<UInt32(conversation.opens.count)).map { $0 },
      "a request ended twice or never")
    client.flush()
    sent = client.sent
    precondition(H2SentFrame.all(in: sent) != nil, "we sent half a frame")
  }
}

/// Requests, and all that a peer answers to them.
struct H2Conversation: CustomTestStringConvertible {
  struct Open {
    var request = H2Client.Request.get
    var showsBody = false
  }

  let name: String
  var opens: [Open]
  let bytes: [UInt8]

  var testDescription: String { name }

  init(_ name: String, _ opens: [Open], _ frames: [[UInt8]]) {
    self.name = name
    self.opens = opens
    bytes = frames.flatMap { $0 }
  }
}
