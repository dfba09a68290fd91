extension Plan {
  /// Bump when a field is added, removed or reordered.
  private static let codingVersion: UInt8 = 2

  /// The plan in its one canonical encoding: equal plans have equal bytes, so their hash names them.
  /// Little-endian fields in the order below; strings and lists have their length first.
  package var bytes: [UInt8] {
    var writer = PlainWriter()
    writer.write(Self.codingVersion)
    writer.write(url)
    writer.write(method)
    writer.write(UInt32(destinations.count))
    for destination in destinations {
      writer.write(destination.host)
      writer.write(destination.port)
    }
    writer.write(UInt32(endpoints.count))
    for endpoint in endpoints {
      writer.write(endpoint.name)
      writer.write(endpoint.request)
      writer.write(UInt8(endpoint.expectsNoBody ? 1 : 0))
    }
    writer.write(connections)
    writer.write(durationNs)
    writer.write(requestCount)
    writer.write(load)
    writer.write(pipeline)
    writer.write(requestsPerConnection)
    for duration in [
      timeoutNs, connectTimeoutNs, deadlineNs, warmupNs, drainNs, intervalNs, rampNs,
    ] { writer.write(duration) }
    writer.write(inFlightLimit)
    writer.write(UInt8(spins ? 1 : 0))
    writer.write(UInt32(sourceAddresses.count))
    for address in sourceAddresses { writer.write(address) }
    writer.write(seed)
    writer.write(UInt32(labels.count))
    for (key, value) in labels.sorted(by: { $0.key < $1.key }) {
      writer.write(key)
      writer.write(value)
    }
    writer.write(program)
    return writer.bytes
  }

  /// Nil when the bytes are not exactly one plan of this coding version.
  package init?(bytes: [UInt8]) {
    var reader = PlainReader(bytes)
    guard reader.uint8() == Self.codingVersion, let url = reader.string(),
      let method = reader.string(),
      let destinations = reader.list({ reader -> Destination? in
        guard let host = reader.string(), let port = reader.uint16() else { return nil }
        return Destination(host: host, port: port)
      }),
      let endpoints = reader.list({ reader -> Endpoint? in
        guard let name = reader.string(), let request = reader.byteList(),
          let expectsNoBody = reader.uint8()
        else { return nil }
        return Endpoint(name: name, request: request, expectsNoBody: expectsNoBody == 1)
      }),
      let connections = reader.uint32()
    else { return nil }
    self.init(
      url: url, method: method, destinations: destinations, endpoints: endpoints,
      connections: connections)
    guard let durationNs = reader.uint64(), let requestCount = reader.uint64(),
      let load = reader.load(), let pipeline = reader.uint32(),
      let requestsPerConnection = reader.uint32(), let timeoutNs = reader.uint64(),
      let connectTimeoutNs = reader.uint64(), let deadlineNs = reader.uint64(),
      let warmupNs = reader.uint64(), let drainNs = reader.uint64(),
      let intervalNs = reader.uint64(), let rampNs = reader.uint64(),
      let inFlightLimit = reader.uint32(), let spins = reader.uint8(),
      let sourceAddresses = reader.list({ $0.string() }), let seed = reader.uint64(),
      let labels = reader.list({ reader -> (String, String)? in
        guard let key = reader.string(), let value = reader.string() else { return nil }
        return (key, value)
      }), let program = reader.byteList(), reader.isAtEnd
    else { return nil }
    self.durationNs = durationNs
    self.requestCount = requestCount
    self.load = load
    self.pipeline = pipeline
    self.requestsPerConnection = requestsPerConnection
    self.timeoutNs = timeoutNs
    self.connectTimeoutNs = connectTimeoutNs
    self.deadlineNs = deadlineNs
    self.warmupNs = warmupNs
    self.drainNs = drainNs
    self.intervalNs = intervalNs
    self.rampNs = rampNs
    self.inFlightLimit = inFlightLimit
    self.spins = spins == 1
    self.sourceAddresses = sourceAddresses
    self.seed = seed
    self.labels = Dictionary(labels, uniquingKeysWith: { $1 })
    self.program = program
  }
}

/// Fixed-width little-endian fields, one after the other.
package struct PlainWriter {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  package mutating func write<Value: FixedWidthInteger>(_ value: Value) {
    for shift in stride(from: 0, to: Value.bitWidth, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> Value(shift)))
    }
  }

  package mutating func write(_ value: Double) { write(value.bitPattern) }

  package mutating func write(_ value: [UInt8]) {
    write(UInt32(value.count))
    bytes += value
  }

  package mutating func write(_ value: String) { write(Array(value.utf8)) }

  package mutating func write(_ load: Load) {
    switch load {
    case .closed: write(UInt8(0))
    case .open(let schedule):
      write(UInt8(1))
      write(schedule.startHz)
      write(UInt32(schedule.stages.count))
      for stage in schedule.stages {
        write(stage.durationNs)
        write(stage.endHz)
      }
      write(schedule.arrival.rawValue)
      write(schedule.seed)
    }
  }
}

/// Reads what `PlainWriter` wrote. Each read returns nil past the end or on a broken value.
package struct PlainReader {
  private let bytes: [UInt8]
  private var offset = 0

  package init(_ bytes: [UInt8]) { self.bytes = bytes }

  package var isAtEnd: Bool { offset == bytes.count }

  private mutating func integer<Value: FixedWidthInteger>(_: Value.Type) -> Value? {
    let byteCount = Value.bitWidth / 8
    guard bytes.count - offset >= byteCount else { return nil }
    var value: Value = 0
    for index in 0..<byteCount {
      value |= Value(truncatingIfNeeded: bytes[offset + index]) << Value(index * 8)
    }
    offset += byteCount
    return value
  }

  package mutating func uint8() -> UInt8? { integer(UInt8.self) }
  package mutating func uint16() -> UInt16? { integer(UInt16.self) }
  package mutating func uint32() -> UInt32? { integer(UInt32.self) }
  package mutating func uint64() -> UInt64? { integer(UInt64.self) }
  package mutating func double() -> Double? { uint64().map(Double.init(bitPattern:)) }

  package mutating func byteList() -> [UInt8]? {
    guard let count = uint32(), bytes.count - offset >= Int(count) else { return nil }
    defer { offset += Int(count) }
    return Array(bytes[offset..<offset + Int(count)])
  }

  package mutating func string() -> String? {
    byteList().flatMap { String(validating: $0, as: UTF8.self) }
  }

  package mutating func list<Value>(_ read: (inout PlainReader) -> Value?) -> [Value]? {
    // Each element has at least one byte, which bounds what a hostile count can allocate.
    guard let count = uint32(), bytes.count - offset >= Int(count) else { return nil }
    var values: [Value] = []
    for _ in 0..<count {
      guard let value = read(&self) else { return nil }
      values.append(value)
    }
    return values
  }

  package mutating func load() -> Load? {
    switch uint8() {
    case 0: return .closed
    case 1:
      guard let startHz = double(),
        let stages = list({ reader -> Schedule.Stage? in
          guard let durationNs = reader.uint64(), let endHz = reader.double() else { return nil }
          return Schedule.Stage(durationNs: durationNs, endHz: endHz)
        }),
        let arrival = uint8().flatMap(Schedule.Arrival.init), let seed = uint64()
      else { return nil }
      return .open(Schedule(startHz: startHz, stages: stages, arrival: arrival, seed: seed))
    default: return nil
    }
  }
}
