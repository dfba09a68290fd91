extension Plan {
  /// Bump when a field is added, removed or reordered.
  private static let codingVersion: UInt8 = 6

  /// The plan in its one canonical encoding: equal plans have equal bytes, so their hash names them.
  package var bytes: [UInt8] {
    var writer = PlainWriter()
    writer.write(Self.codingVersion)
    write(to: &writer)
    return writer.bytes
  }

  /// Nil when the bytes are not exactly one plan of this coding version.
  package init?(bytes: [UInt8]) {
    var reader = PlainReader(bytes)
    guard reader.uint8() == Self.codingVersion, let plan = Plan(from: &reader), reader.isAtEnd
    else {
      return nil
    }
    self = plan
  }
}

extension Plan: PlainRecord {
  package static let blank = Plan(to: .blank, sending: .blank, over: .blank)

  package mutating func pass(through coder: inout some PlainCoder) {
    coder.pass(&origin)
    coder.pass(&otherOrigins)
    coder.pass(&content)
    coder.pass(&load)
    coder.pass(&requestCount)
    coder.pass(&connections)
    coder.pass(&times)
    coder.pass(&spins)
    coder.pass(&seed)
    coder.pass(&labels)
  }
}

extension Plan.Origin: PlainRecord {
  package static let blank = Self(url: "", destinations: [])

  package mutating func pass(through coder: inout some PlainCoder) {
    coder.pass(&url)
    coder.pass(&destinations)
    coder.pass(&sourceAddresses)
    coder.pass(&tls)
  }
}

extension Plan.Destination: PlainRecord {
  package static let blank = Self(host: "", port: 0)

  package mutating func pass(through coder: inout some PlainCoder) {
    coder.pass(&host)
    coder.pass(&port)
  }
}

extension Plan.Content: PlainRecord {
  package static let blank = Self(method: "", endpoints: [])

  package mutating func pass(through coder: inout some PlainCoder) {
    coder.pass(&method)
    coder.pass(&endpoints)
    coder.pass(&program)
  }
}

extension Plan.Endpoint: PlainRecord {
  package static let blank = Self(name: "", request: [], expectsNoBody: false)

  package mutating func pass(through coder: inout some PlainCoder) {
    coder.pass(&name)
    coder.pass(&request)
    coder.pass(&expectsNoBody)
  }
}

extension Plan.Connections: PlainRecord {
  package static let blank = Self(0)

  package mutating func pass(through coder: inout some PlainCoder) {
    coder.pass(&count)
    coder.pass(&rampNs)
    coder.pass(&pipeline)
    coder.pass(&streams)
    coder.pass(&requestsEach)
    coder.pass(&inFlightLimit)
    coder.pass(&shared)
    coder.pass(&originCount)
    coder.pass(&isNumbered)
  }
}

extension Plan.Times: PlainRecord {
  package static let blank = usual

  package mutating func pass(through coder: inout some PlainCoder) {
    coder.pass(&durationNs)
    coder.pass(&warmupNs)
    coder.pass(&drainNs)
    coder.pass(&intervalNs)
    coder.pass(&timeoutNs)
    coder.pass(&connectTimeoutNs)
    coder.pass(&deadlineNs)
  }
}

extension TLSPlan: PlainRecord {
  package static let blank = Self(serverName: "")

  package mutating func pass(through coder: inout some PlainCoder) {
    coder.pass(&serverName)
    coder.pass(&verifies)
    coder.pass(&resumes)
    coder.pass(&versionMin)
    coder.pass(&versionMax)
    coder.pass(&ciphers)
    coder.pass(&groups)
    coder.pass(&protocols)
    coder.pass(&authorities)
    coder.pass(&certificate)
    coder.pass(&key)
  }
}

/// Closed is no schedule.
extension Load: PlainValue {
  package func write(to writer: inout PlainWriter) {
    switch self {
    case .closed: Schedule?.none.write(to: &writer)
    case .open(let schedule): Optional(schedule).write(to: &writer)
    }
  }

  package init?(from reader: inout PlainReader) {
    guard let schedule = Schedule?(from: &reader) else { return nil }
    self = schedule.map { .open($0) } ?? .closed
  }
}

extension Schedule: PlainRecord {
  package static let blank = Self(startHz: 0)

  package mutating func pass(through coder: inout some PlainCoder) {
    coder.pass(&startHz)
    coder.pass(&stages)
    coder.pass(&arrival)
    coder.pass(&seed)
  }
}

extension Schedule.Stage: PlainRecord {
  package static let blank = Self(durationNs: 0, endHz: 0)

  package mutating func pass(through coder: inout some PlainCoder) {
    coder.pass(&durationNs)
    coder.pass(&endHz)
  }
}

extension Schedule.Arrival: PlainValue {
  package func write(to writer: inout PlainWriter) { writer.write(rawValue) }

  package init?(from reader: inout PlainReader) {
    guard let word = reader.uint8() else { return nil }
    self.init(rawValue: word)
  }
}
