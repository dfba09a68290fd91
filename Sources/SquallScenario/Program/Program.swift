internal import SquallLoad

/// A scenario compiled: what every user does, as flat tables that a machine walks without asking for
/// memory. Immutable; it travels in its one encoding, whose hash names it.
package struct Program: Equatable, Sendable {
  package static let endpointCountMax = 500
  package static let slotCountMax = 256
  package static let slotByteCountMax = 16 << 10
  package static let slotByteCountDefault = 64
  /// All values of a list together.
  package static let listByteCountMax = 64 << 10
  package static let listValueCountDefault = 20
  /// Times that a request is sent until its checks hold.
  package static let tryCountMax: UInt64 = 1_000
  /// Redirects that are followed one after the other.
  package static let redirectCountMax: UInt64 = 10
  package static let locationByteCountMax: UInt32 = 1_024
  /// Loops within one another.
  package static let loopDepthMax = 4
  package static let stepCountMax = 60_000
  /// Checks and captures of one request, and JSON paths among them.
  package static let watchCountMax = 32
  package static let pathCountMax = 16
  package static let poolByteCountMax = 64 << 20

  package static let originCountMax = 16

  /// Where requests go; the first is the target.
  package var origins: [Origin] = []
  package var steps: [Step] = []
  package var requests: [Request] = []
  package var parts: [Part] = []
  package var checks: [Check] = []
  package var captures: [Capture] = []
  package var patterns: [Pattern] = []
  package var paths: [Path] = []
  package var segments: [Path.Segment] = []
  /// Eight words each: bit `status - 100`.
  package var statusSets: [UInt64] = []
  package var slots: [Slot] = []
  package var endpoints: [Endpoint] = []
  package var thinks: [Think] = []
  package var choices: [Choice] = []
  package var tables: [Table] = []
  /// Texts that parts, tables and lists point to.
  package var texts: [Span] = []
  package var users: [UserClass] = []
  /// Bytes of all literals.
  package var pool: [UInt8] = []
  package var load = UserLoad()
  /// In the place of `load`: whoever is free does what falls due.
  package var arrivals: ArrivalLoad?
  package var objectives: [NamedObjective] = []
  package var keepsCookies = true
  /// Connections that users share; 0 when each has its own.
  package var sharedConnectionCount: UInt32 = 0
  /// What slots hold from a user's beginning on.
  package var constants: [Constant] = []

  package init() {}

  /// As the target was written.
  package var target: String { origins.first?.url ?? "" }

  /// Of the failure of cookies that find no room, which every name may have.
  package static let jarCheckNumber = UInt8(Counters.checkCountMax - 1)
  /// Of the failure of redirects that lead elsewhere.
  package static let strayCheckNumber = jarCheckNumber - 1
  /// Checks of a request's own have lower numbers.
  package static let ownCheckNumberEnd = bodyCheckNumber(BodyFault.allCases.last ?? .none)

  /// Of a body that cannot be read for that reason.
  package static func bodyCheckNumber(_ fault: BodyFault) -> UInt8 {
    strayCheckNumber - fault.rawValue
  }

  /// What people read of a check that failed.
  package func checkWords(of endpoint: Int, number: UInt8) -> String? {
    guard endpoints.indices.contains(endpoint) else { return nil }
    switch number {
    case Self.jarCheckNumber:
      return "a cookie finds no room in the \(Machine.jarByteCount) bytes of the jar"
    case Self.strayCheckNumber:
      return "a redirect leads to a host that the scenario does not name, or to no path"
    case Self.ownCheckNumberEnd..<Self.strayCheckNumber:
      return BodyFault(rawValue: Self.strayCheckNumber - number)?.words
    default: break
    }
    let words = endpoints[endpoint].checks
    return words.indices.contains(Int(number)) ? words[Int(number)] : nil
  }

  /// A host that requests go to.
  package struct Origin: Equatable, Sendable {
    /// As it was written, without a path.
    package var url: String
    /// In lower case; cookies belong to it.
    package var host: String
    /// The value of the Host field.
    package var hostField: String
    /// Whether TLS protects what is sent there.
    package var isSecure: Bool

    /// What an absolute address must begin with, in lower case.
    var address: String { (isSecure ? "https://" : "http://") + hostField.lowercased() }
  }

  /// A part of the pool.
  package struct Span: Equatable, Sendable, BitwiseCopyable {
    package var offset: UInt32
    package var byteCount: UInt32

    package static let empty = Span(offset: 0, byteCount: 0)
  }

  package struct Slice: Equatable, Sendable, BitwiseCopyable {
    package var first: UInt32
    package var count: UInt32

    package static let empty = Slice(first: 0, count: 0)

    @inline(__always)
    package var indices: Range<Int> { Int(first)..<Int(first) &+ Int(count) }
  }

  /// Sixteen bytes. `target` is where it goes on when it does not go on with the next one.
  package struct Step: Equatable, Sendable, BitwiseCopyable {
    package enum Operation: UInt8, Sendable, BitwiseCopyable {
      /// `argument`: the request. One that follows a redirect has the one to another host behind it.
      case send
      /// `argument`: the think time. `low` is 1 where it is a pause between two tries.
      case think
      /// `argument`: the choice, whose outcome is a step.
      case pick
      case jump
      /// Sets `counter` to a number of turns from `low` through `high`; none goes to `target`. With
      /// `argument` the turns are tries, which end when a request's answer is what is awaited.
      case enterLoop
      /// One turn less; back to `target` while there are any.
      case endLoop
      /// Goes on with probability `low` / 2^32, otherwise to `target`.
      case chance
      /// To `target` when slot `argument` is empty.
      case unlessSet
      /// To `target` when slot `argument` is not empty.
      case ifSet
      /// The end of an iteration.
      case endIteration
      /// The end of `on_start` and `on_stop`.
      case end
      /// To `target` when the last answer is what is awaited.
      case ifMet
      /// To `target` when the last answer leads nowhere else.
      case unlessRedirected
      /// Sets `counter` to the values in slot `argument`, at most `high`, and begins with the first of
      /// them; none goes to `target`.
      case enterEach
      /// The next value, and back to `target`, while there are any.
      case endEach
    }

    package var operation: Operation
    package var counter: UInt8 = 0
    package var argument: UInt16 = 0
    package var target: UInt32 = 0
    package var low: UInt32 = 0
    package var high: UInt32 = 0
  }

  /// A piece of a request: bytes that are known, or a value that is not.
  package struct Part: Equatable, Sendable, BitwiseCopyable {
    package enum Kind: UInt8, Sendable, BitwiseCopyable {
      /// `a`: offset in the pool, `b`: bytes.
      case literal
      /// `a`: slot.
      case slot
      /// `a`: table, `b`: column.
      case cell
      /// One of `b` texts from `a` on, drawn anew at each use.
      case choice
      /// From `a` through `b`.
      case int
      /// From `a` to `b`, both bit patterns, with `width` decimals.
      case float
      case uuid
      /// `a` digits.
      case hex
      /// `a` letters.
      case text
      case nowSeconds, nowMilliseconds, nowISO
      case sequence, user, iteration, worker
      /// The jar as a Cookie field, or nothing.
      case cookies
      /// The number of the body's bytes.
      case contentLength
      /// `a`: slot; one of its values.
      case pick
      /// The host that the redirect leads to.
      case host
    }

    package enum Escape: UInt8, Sendable, BitwiseCopyable {
      case none
      /// A request target as a whole: sent as it is, and must be one.
      case target
      case path, query, form
      /// Within the quotes of a JSON string.
      case json
      /// A JSON value that stands alone: number or raw as it is, else with quotes.
      case jsonValue
      /// A field's value: no CR, LF or NUL.
      case header
    }

    package enum Format: UInt8, Sendable, BitwiseCopyable { case none, url, base64, json, padded }

    package var kind: Kind
    package var escape: Escape = .none
    package var format: Format = .none
    package var width: UInt8 = 0
    package var a: Int64 = 0
    package var b: Int64 = 0
  }

  package enum Otherwise: UInt8, Sendable, BitwiseCopyable {
    case proceed, nextIteration, stopUser
  }

  /// Which redirects are followed (RFC 9110 section 15.4).
  package enum Follow: UInt8, Sendable, BitwiseCopyable {
    case none
    /// Those that a GET may answer to: 301, 302 and 303.
    case byGet
    /// Also 307 and 308, which keep the method.
    case all
  }

  package struct Request: Equatable, Sendable, BitwiseCopyable {
    package var endpoint: UInt16
    package var head: Slice
    package var body: Slice
    /// The last `awaitedCount` of them say until when the request is sent again.
    package var checks: Slice
    package var awaitedCount: UInt8 = 0
    /// Of the tries that are left; `UInt8.max` when nothing is awaited.
    package var tryCounter = UInt8.max
    package var captures: Slice
    package var otherwise: Otherwise
    /// The request is HEAD: its response has no body (RFC 9110 section 9.3.2).
    package var expectsNoBody: Bool
    package var timeoutNs: UInt64
    /// Whether the bytes are the same each time.
    package var isConstant: Bool
    /// Whether a byte of the answer's body matters.
    package var readsBody: Bool
    package var follows = Follow.none
    /// Where a redirect leads.
    package var locationSlot: UInt16 = 0
    /// It follows a redirect.
    package var isHop = false
    /// Where it goes.
    package var origin: UInt8 = 0
  }

  /// What must hold of an answer. `label` is what people read when it does not.
  package struct Check: Equatable, Sendable, BitwiseCopyable {
    package enum Kind: UInt8, Sendable, BitwiseCopyable {
      /// `argument`: the status set.
      case status
      /// `text` stands in the body.
      case contains
      /// `argument`: the path, whose value is `text`.
      case json
      /// The field `name` contains `text`.
      case header
      /// At most `limitNs`.
      case time
      /// `argument`: the slot, which is not empty.
      case has
    }

    package var kind: Kind
    package var argument: UInt32 = 0
    package var name = Span.empty
    package var text = Span.empty
    package var limitNs: UInt64 = 0
    /// Whether it says something of the body, or of what may come from there.
    var readsBody: Bool { kind == .contains || kind == .json || kind == .has }
    package var label: Span
    /// Among the checks of the request's name.
    package var number: UInt8 = 0
  }

  /// A value taken out of an answer into a slot.
  package struct Capture: Equatable, Sendable, BitwiseCopyable {
    package enum Kind: UInt8, Sendable, BitwiseCopyable {
      /// `argument`: the path.
      case json
      /// The field `first`.
      case header
      /// The cookie `first`.
      case cookie
      /// What stands between `first` and `second` in the body.
      case between
      /// `argument`: the pattern, whose group it is, in the body.
      case regex
    }

    package enum Take: UInt8, Sendable, BitwiseCopyable { case first, random, last, all }

    package var kind: Kind
    package var take: Take = .first
    /// JSON as it stands, also an object or an array.
    package var isRaw = false
    package var slot: UInt16
    package var argument: UInt32 = 0
    package var first = Span.empty
    package var second = Span.empty
    /// What people read when the value is longer than its slot.
    package var label: Span
    /// Of that among the checks of the request's name.
    package var number: UInt8 = 0
  }

  /// A JSON path: members, elements and `[*]`, from the root.
  package struct Path: Equatable, Sendable, BitwiseCopyable {
    package static let segmentCountMax = 16

    package struct Segment: Equatable, Sendable, BitwiseCopyable {
      package enum Kind: UInt8, Sendable, BitwiseCopyable { case member, element, every }
      package var kind: Kind
      package var name = Span.empty
      package var index: UInt32 = 0
    }

    package var segments: Slice
    /// What a check wants there, a string without its quotes.
    package var isRaw = false
  }

  package struct Slot: Equatable, Sendable {
    package var name: String
    /// Of one value.
    package var byteCountMax: UInt32
    /// Values that a list keeps; 0 for a single one.
    package var valueCountMax: UInt16 = 0

    package var isList: Bool { valueCountMax > 0 }
  }

  /// A value that was captured before the load.
  package struct Constant: Equatable, Sendable {
    package var slot: UInt16
    /// JSON wrote it without quotes.
    package var isBare: Bool
    package var text: [UInt8]

    package init(slot: UInt16, isBare: Bool, text: [UInt8]) {
      self.slot = slot
      self.isBare = isBare
      self.text = text
    }
  }

  package struct Endpoint: Equatable, Sendable {
    package var name: String
    package var tags: [String]
    /// What can fail in its answers, in words, by number.
    package var checks: [String] = []
  }

  /// Nanoseconds from `lowNs` through `highNs`, or around them.
  package struct Think: Equatable, Sendable, BitwiseCopyable {
    package enum Kind: UInt8, Sendable, BitwiseCopyable {
      case uniform
      /// Exponentially distributed with mean `lowNs`.
      case exponential
      /// From the beginning of the iteration.
      case pace
    }

    package var kind: Kind
    package var lowNs: UInt64
    package var highNs: UInt64
  }

  /// A weighted choice in constant time (Walker 1977, Vose 1991): draw a column, then one of its two.
  package struct Choice: Equatable, Sendable {
    package struct Column: Equatable, Sendable, BitwiseCopyable {
      /// Probability of `own`, in 2^-32.
      package var threshold: UInt32
      package var own: UInt32
      package var other: UInt32
    }

    package var columns: [Column]
  }

  /// Rows of data. Cell (row, column) is text `firstText + row * columns + column`.
  package struct Table: Equatable, Sendable {
    package enum Pick: UInt8, Sendable, BitwiseCopyable { case unique, sequential, random, shuffle }

    package var name: String
    package var file: String
    package var columns: [String]
    package var rowCount: UInt32
    package var firstText: UInt32
    package var pick: Pick
  }

  package struct Task: Equatable, Sendable {
    package var name: String
    package var weight: Double
    package var tags: [String]
  }

  package struct UserClass: Equatable, Sendable {
    package var name: String
    /// Share among those without `fixed`.
    package var weight: Double
    /// So many, whatever the weights.
    package var fixed: UInt32?
    /// Steps at which each of these begins.
    package var onStart: UInt32?
    package var iteration: UInt32
    package var onStop: UInt32?
    package var think: UInt16?
    /// The table of which a user keeps one row for its life.
    package var row: UInt16?
    package var tasks: [Task]
  }

  /// Users over time: each stage goes from where the last one ended to `to`.
  package struct UserLoad: Equatable, Sendable {
    package struct Stage: Equatable, Sendable {
      package var durationNs: UInt64
      package var to: UInt64
    }

    package var stages: [Stage] = []
    /// So many from the beginning to the end, where there are no stages; 0 when it is not said.
    package var userCountFixed: UInt64 = 0
    /// The load ends after so many requests; 0 when it does not.
    package var requestCount: UInt64 = 0

    package var userCountMax: UInt64 { stages.map(\.to).max() ?? userCountFixed }
    package var durationNs: UInt64 { stages.reduce(0) { $0 + $1.durationNs } }
  }

  /// Iterations that begin on a schedule, each done by a user of a pool that is free.
  package struct ArrivalLoad: Equatable, Sendable {
    package struct Stage: Equatable, Sendable {
      package var durationNs: UInt64
      package var endHz: Double
    }

    package var startHz: Double
    package var stages: [Stage] = []
    package var isPoisson = false
    package var userCountMax: UInt64

    package var durationNs: UInt64 { stages.reduce(0) { $0 + $1.durationNs } }
  }

  /// An objective as it was written; `name` or `tag` say of what.
  package struct NamedObjective: Equatable, Sendable {
    package var text: String
    package var name: String?
    package var tag: String?
  }

  /// The longest request that can be rendered, each value at its longest.
  package var renderedByteCountMax: Int {
    requests.map { longest($0.head) + longest($0.body) }.max() ?? 0
  }

  /// The longest head.
  package var headByteCountMax: Int { requests.map { longest($0.head) }.max() ?? 0 }

  /// A request's head as it is written, with nothing for what differs each time.
  package func outline(of request: Request) -> [UInt8] {
    parts[request.head.indices].reduce(into: []) { head, part in
      switch part.kind {
      case .literal: head += pool[Int(part.a)..<Int(part.a + part.b)]
      // A line, or none.
      case .cookies: break
      default: head.append(UInt8(ascii: "x"))
      }
    }
  }

  private func longest(_ slice: Slice) -> Int {
    parts[slice.indices].reduce(0) { $0 + longest($1) }
  }

  private func longest(_ part: Part) -> Int {
    let value: Int
    switch part.kind {
    case .literal: return Int(part.b)
    case .slot, .pick: value = Int(slots[Int(part.a)].byteCountMax)
    case .cell:
      let table = tables[Int(part.a)]
      let count = Int(table.rowCount) * max(1, table.columns.count)
      value =
        texts[Int(table.firstText)..<Int(table.firstText) + count].map { Int($0.byteCount) }
        .max() ?? 0
    case .choice:
      value = texts[Int(part.a)..<Int(part.a + part.b)].map { Int($0.byteCount) }.max() ?? 0
    case .hex, .text: value = Int(part.a)
    case .cookies: return Machine.jarByteCount + 16
    case .contentLength: return 20
    case .host: return origins.map(\.hostField.utf8.count).max() ?? 0
    case .int, .float, .uuid, .nowSeconds, .nowMilliseconds, .nowISO, .sequence, .user, .iteration,
      .worker:
      value = 64
    }
    // A format before the escaping makes four of three, or six of one.
    return value * Part.Escape.growthMax * (part.format == .none ? 1 : Part.Escape.growthMax) + 2
  }

  package func text(_ span: Span) -> String {
    let start = Int(span.offset)
    return String(decoding: pool[start..<start + Int(span.byteCount)], as: UTF8.self)
  }
}
