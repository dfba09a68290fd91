package import SquallLoad

extension Program {
  /// Bump when a field is added, removed or reordered.
  private static let codingVersion: UInt8 = 5

  /// The program in its one encoding: equal programs have equal bytes.
  package var bytes: [UInt8] {
    var writer = PlainWriter()
    writer.write(Self.codingVersion)
    writer.write(origins)
    writer.write(UInt8(keepsCookies ? 1 : 0))
    writer.write(sharedConnectionCount)
    writer.write(steps)
    writer.write(requests)
    writer.write(parts)
    writer.write(checks)
    writer.write(captures)
    writer.write(patterns)
    writer.write(paths)
    writer.write(segments)
    writer.write(statusSets)
    writer.write(slots)
    writer.write(endpoints)
    writer.write(thinks)
    writer.write(choices)
    writer.write(tables)
    writer.write(texts)
    writer.write(users)
    writer.write(load.stages)
    writer.write(load.userCountFixed)
    writer.write(load.requestCount)
    writer.write(arrivals)
    writer.write(objectives)
    writer.write(constants)
    writer.write(pool)
    return writer.bytes
  }

  /// Nil when the bytes are not exactly one sound program: every index in it leads somewhere, so that a
  /// machine cannot be led out of its tables.
  package init?(bytes: [UInt8]) {
    var reader = PlainReader(bytes)
    guard reader.uint8() == Self.codingVersion,
      let origins: [Origin] = reader.value(), let keepsCookies = reader.uint8(),
      keepsCookies <= 1, let sharedConnectionCount = reader.uint32(),
      let steps: [Step] = reader.value(), let requests: [Request] = reader.value(),
      let parts: [Part] = reader.value(), let checks: [Check] = reader.value(),
      let captures: [Capture] = reader.value(), let patterns: [Pattern] = reader.value(),
      let paths: [Path] = reader.value(),
      let segments: [Path.Segment] = reader.value(),
      let statusSets: [UInt64] = reader.value(), let slots: [Slot] = reader.value(),
      let endpoints: [Endpoint] = reader.value(), let thinks: [Think] = reader.value(),
      let choices: [Choice] = reader.value(), let tables: [Table] = reader.value(),
      let texts: [Span] = reader.value(), let users: [UserClass] = reader.value(),
      let stages: [UserLoad.Stage] = reader.value(),
      let userCountFixed = reader.uint64(), let requestCount = reader.uint64(),
      let arrivals: ArrivalLoad? = reader.value(),
      let objectives: [NamedObjective] = reader.value(),
      let constants: [Constant] = reader.value(), let pool = reader.byteList(),
      reader.isAtEnd
    else { return nil }
    self.init()
    self.origins = origins
    self.keepsCookies = keepsCookies == 1
    self.sharedConnectionCount = sharedConnectionCount
    self.steps = steps
    self.requests = requests
    self.parts = parts
    self.checks = checks
    self.captures = captures
    self.patterns = patterns
    self.paths = paths
    self.segments = segments
    self.statusSets = statusSets
    self.slots = slots
    self.endpoints = endpoints
    self.thinks = thinks
    self.choices = choices
    self.tables = tables
    self.texts = texts
    self.users = users
    self.load.stages = stages
    self.load.userCountFixed = userCountFixed
    self.load.requestCount = requestCount
    self.arrivals = arrivals
    self.objectives = objectives
    self.constants = constants
    self.pool = pool
    guard isSound else { return nil }
  }

  // MARK: Soundness

  private var isSound: Bool {
    (1...Self.originCountMax).contains(origins.count)
      && origins.allSatisfy { $0.host.utf8.count <= 255 } && pool.count <= Self.poolByteCountMax
      && endpoints.count <= Self.endpointCountMax
      && slots.count <= Self.slotCountMax && steps.count <= Self.stepCountMax + 64
      && slots.allSatisfy { (1...Self.slotByteCountMax).contains(Int($0.byteCountMax)) }
      && slots.allSatisfy {
        Int($0.valueCountMax) * (Int($0.byteCountMax) + 2) <= Self.listByteCountMax
      }
      && constants.allSatisfy {
        Int($0.slot) < slots.count && !slots[Int($0.slot)].isList
          && $0.text.count <= Int(slots[Int($0.slot)].byteCountMax)
      }
      && steps.allSatisfy(isSound)
      && steps.last.map { $0.operation == .endIteration || $0.operation == .end } ?? true
      && requests.allSatisfy(isSound) && parts.allSatisfy(isSound)
      && checks.allSatisfy(isSound) && captures.allSatisfy(isSound)
      && patterns.allSatisfy(\.isSound)
      && paths.allSatisfy {
        has($0.segments, segments.count) && Int($0.segments.count) <= Path.segmentCountMax
      }
      && segments.allSatisfy { has($0.name) } && texts.allSatisfy(has)
      && statusSets.count % 8 == 0
      && thinks.allSatisfy { $0.lowNs <= $0.highNs || $0.kind != .uniform }
      && choices.allSatisfy(isSound) && tables.allSatisfy(isSound) && !users.isEmpty
      && users.allSatisfy(isSound)
  }

  private func has(_ span: Span) -> Bool {
    Int(span.offset) + Int(span.byteCount) <= pool.count
  }

  private func has(_ slice: Slice, _ count: Int) -> Bool {
    Int(slice.first) + Int(slice.count) <= count
  }

  private func isSound(_ step: Step) -> Bool {
    guard Int(step.target) < max(1, steps.count), Int(step.counter) < Self.loopDepthMax else {
      return false
    }
    switch step.operation {
    case .send:
      guard Int(step.argument) < requests.count else { return false }
      return !requests[Int(step.argument)].isHop || Int(step.argument) + 1 < requests.count
    case .think: return Int(step.argument) < thinks.count
    case .pick: return Int(step.argument) < choices.count
    case .unlessSet, .ifSet: return Int(step.argument) < slots.count
    case .enterEach:
      return Int(step.argument) < slots.count && slots[Int(step.argument)].isList
        && step.high <= UInt32(UInt16.max)
    case .endEach: return Int(step.argument) < slots.count && slots[Int(step.argument)].isList
    case .enterLoop: return step.low <= step.high && step.high <= UInt32(UInt16.max)
    case .jump, .endLoop, .chance, .endIteration, .end, .ifMet, .unlessRedirected: return true
    }
  }

  private func isSound(_ request: Request) -> Bool {
    guard Int(request.endpoint) < endpoints.count, Int(request.origin) < origins.count,
      has(request.head, parts.count),
      has(request.body, parts.count), has(request.checks, checks.count),
      has(request.captures, captures.count),
      Int(request.checks.count) + Int(request.captures.count) <= Self.watchCountMax,
      UInt32(request.awaitedCount) <= request.checks.count,
      request.follows == .none
        || Int(request.locationSlot) < slots.count && !slots[Int(request.locationSlot)].isList,
      request.awaitedCount > 0
        ? Int(request.tryCounter) < Self.loopDepthMax : request.tryCounter == .max
    else { return false }
    let pathCount =
      checks[request.checks.indices].count { $0.kind == .json }
      + captures[request.captures.indices].count { $0.kind == .json }
    let patternCount = captures[request.captures.indices].count { $0.kind == .regex }
    return pathCount <= Self.pathCountMax && patternCount <= Machine.patternCountMax
  }

  private func isSound(_ part: Part) -> Bool {
    switch part.kind {
    case .literal:
      return part.a >= 0 && part.b >= 0 && part.a <= Int64(pool.count)
        && part.b <= Int64(pool.count) - part.a
    case .slot: return part.a >= 0 && part.a < Int64(slots.count)
    case .pick: return part.a >= 0 && part.a < Int64(slots.count) && slots[Int(part.a)].isList
    case .cell:
      guard part.a >= 0, part.a < Int64(tables.count) else { return false }
      return part.b >= 0 && part.b < Int64(max(1, tables[Int(part.a)].columns.count))
    case .choice:
      return part.a >= 0 && part.b > 0 && part.a <= Int64(texts.count)
        && part.b <= Int64(texts.count) - part.a
    case .int: return part.a <= part.b
    case .float:
      let ends = (
        Double(bitPattern: UInt64(bitPattern: part.a)),
        Double(bitPattern: UInt64(bitPattern: part.b))
      )
      return abs(ends.0) < 1e9 && abs(ends.1) < 1e9 && part.width <= 9
    case .hex, .text: return (1...4096).contains(part.a)
    case .uuid, .nowSeconds, .nowMilliseconds, .nowISO, .sequence, .user, .iteration, .worker,
      .cookies, .contentLength, .host:
      return true
    }
  }

  private func isSound(_ check: Check) -> Bool {
    guard has(check.name), has(check.text), has(check.label) else { return false }
    switch check.kind {
    case .status: return Int(check.argument) * 8 + 8 <= statusSets.count
    case .json: return Int(check.argument) < paths.count
    case .has: return Int(check.argument) < slots.count
    case .contains, .header, .time: return true
    }
  }

  private func isSound(_ capture: Capture) -> Bool {
    guard has(capture.first), has(capture.second), has(capture.label),
      Int(capture.slot) < slots.count
    else { return false }
    switch capture.kind {
    case .json: return Int(capture.argument) < paths.count
    case .regex:
      return Int(capture.argument) < patterns.count && !slots[Int(capture.slot)].isList
    case .between: return capture.first.byteCount > 0 && capture.second.byteCount > 0
    case .header, .cookie: return true
    }
  }

  private func isSound(_ choice: Choice) -> Bool {
    !choice.columns.isEmpty
      && choice.columns.allSatisfy { Int($0.own) < steps.count && Int($0.other) < steps.count }
  }

  private func isSound(_ table: Table) -> Bool {
    table.rowCount > 0
      && UInt64(table.firstText) + UInt64(table.rowCount) * UInt64(max(1, table.columns.count))
        <= UInt64(texts.count)
  }

  private func isSound(_ user: UserClass) -> Bool {
    [user.onStart, user.iteration, user.onStop].allSatisfy { Int($0 ?? 0) < steps.count }
      && Int(user.think ?? 0) < max(1, thinks.count) && Int(user.row ?? 0) < max(1, tables.count)
      && (user.think == nil || !thinks.isEmpty) && (user.row == nil || !tables.isEmpty)
      && user.weight >= 0 && user.weight.isFinite && user.fixed ?? 0 <= 1_000_000
  }
}

// MARK: Encoding

extension PlainReader {
  fileprivate mutating func choice<Value: RawRepresentable>(
    _: Value.Type = Value.self
  ) -> Value? where Value.RawValue == UInt8 { uint8().flatMap(Value.init) }
}

extension Program.Span: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(offset)
    writer.write(byteCount)
  }
  package init?(from reader: inout PlainReader) {
    guard let offset = reader.uint32(), let byteCount = reader.uint32() else { return nil }
    self.init(offset: offset, byteCount: byteCount)
  }
}

extension Program.Slice: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(first)
    writer.write(count)
  }
  package init?(from reader: inout PlainReader) {
    guard let first = reader.uint32(), let count = reader.uint32() else { return nil }
    self.init(first: first, count: count)
  }
}

extension Program.Step: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(operation.rawValue)
    writer.write(counter)
    writer.write(argument)
    for value in [target, low, high] { writer.write(value) }
  }
  package init?(from reader: inout PlainReader) {
    guard let operation = reader.choice(Operation.self), let counter = reader.uint8(),
      let argument = reader.uint16(), let target = reader.uint32(), let low = reader.uint32(),
      let high = reader.uint32()
    else { return nil }
    self.init(
      operation: operation, counter: counter, argument: argument, target: target, low: low,
      high: high)
  }
}

extension Program.Request: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(endpoint)
    for slice in [head, body, checks, captures] { slice.write(to: &writer) }
    writer.write(awaitedCount)
    writer.write(tryCounter)
    writer.write(otherwise.rawValue)
    for flag in [expectsNoBody, isConstant, readsBody, isHop] {
      writer.write(UInt8(flag ? 1 : 0))
    }
    writer.write(timeoutNs)
    writer.write(follows.rawValue)
    writer.write(locationSlot)
    writer.write(origin)
  }
  package init?(from reader: inout PlainReader) {
    guard let endpoint = reader.uint16(), let head = Program.Slice(from: &reader),
      let body = Program.Slice(from: &reader), let checks = Program.Slice(from: &reader),
      let captures = Program.Slice(from: &reader), let awaitedCount = reader.uint8(),
      let tryCounter = reader.uint8(), let otherwise = reader.choice(Program.Otherwise.self),
      let expectsNoBody = reader.bool(),
      let isConstant = reader.bool(), let readsBody = reader.bool(),
      let isHop = reader.bool(), let timeoutNs = reader.uint64(), timeoutNs > 0,
      let follows = reader.choice(Program.Follow.self), let locationSlot = reader.uint16(),
      let origin = reader.uint8()
    else { return nil }
    self.init(
      endpoint: endpoint, head: head, body: body, checks: checks, awaitedCount: awaitedCount,
      tryCounter: tryCounter, captures: captures,
      otherwise: otherwise, expectsNoBody: expectsNoBody, timeoutNs: timeoutNs,
      isConstant: isConstant, readsBody: readsBody, follows: follows, locationSlot: locationSlot,
      isHop: isHop, origin: origin)
  }
}

extension Program.Origin: PlainValue {
  package func write(to writer: inout PlainWriter) {
    for text in [url, host, hostField] { writer.write(text) }
    writer.write(UInt8(isSecure ? 1 : 0))
  }
  package init?(from reader: inout PlainReader) {
    guard let url = reader.string(), let host = reader.string(), let hostField = reader.string(),
      let isSecure = reader.bool()
    else { return nil }
    self.init(url: url, host: host, hostField: hostField, isSecure: isSecure)
  }
}

extension Program.Part: PlainValue {
  package func write(to writer: inout PlainWriter) {
    for byte in [kind.rawValue, escape.rawValue, format.rawValue, width] { writer.write(byte) }
    writer.write(a)
    writer.write(b)
  }
  package init?(from reader: inout PlainReader) {
    guard let kind = reader.choice(Kind.self), let escape = reader.choice(Escape.self),
      let format = reader.choice(Format.self), let width = reader.uint8(),
      let a = reader.uint64(), let b = reader.uint64()
    else { return nil }
    self.init(
      kind: kind, escape: escape, format: format, width: width, a: Int64(bitPattern: a),
      b: Int64(bitPattern: b))
  }
}

extension Program.Check: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(kind.rawValue)
    writer.write(argument)
    for span in [name, text, label] { span.write(to: &writer) }
    writer.write(limitNs)
    writer.write(number)
  }
  package init?(from reader: inout PlainReader) {
    guard let kind = reader.choice(Kind.self), let argument = reader.uint32(),
      let name = Program.Span(from: &reader), let text = Program.Span(from: &reader),
      let label = Program.Span(from: &reader), let limitNs = reader.uint64(),
      let number = reader.uint8()
    else { return nil }
    self.init(
      kind: kind, argument: argument, name: name, text: text, limitNs: limitNs, label: label,
      number: number)
  }
}

extension Program.Capture: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(kind.rawValue)
    writer.write(take.rawValue)
    writer.write(UInt8(isRaw ? 1 : 0))
    writer.write(slot)
    writer.write(argument)
    for span in [first, second, label] { span.write(to: &writer) }
    writer.write(number)
  }
  package init?(from reader: inout PlainReader) {
    guard let kind = reader.choice(Kind.self), let take = reader.choice(Take.self),
      let isRaw = reader.bool(), let slot = reader.uint16(), let argument = reader.uint32(),
      let first = Program.Span(from: &reader), let second = Program.Span(from: &reader),
      let label = Program.Span(from: &reader), let number = reader.uint8()
    else { return nil }
    self.init(
      kind: kind, take: take, isRaw: isRaw, slot: slot, argument: argument, first: first,
      second: second, label: label, number: number)
  }
}

extension Program.Pattern: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(sets)
    writer.write(skippable)
    writer.write(looping)
    for byte in [groupFirst, groupEnd, isLazy ? 1 : 0] { writer.write(byte) }
  }
  package init?(from reader: inout PlainReader) {
    guard let sets: [UInt64] = reader.value(), let skippable = reader.uint64(),
      let looping = reader.uint64(), let groupFirst = reader.uint8(),
      let groupEnd = reader.uint8(), let isLazy = reader.bool()
    else { return nil }
    self.init(
      sets: sets, skippable: skippable, looping: looping, groupFirst: groupFirst,
      groupEnd: groupEnd, isLazy: isLazy)
  }
}

extension Program.Path: PlainValue {
  package func write(to writer: inout PlainWriter) {
    segments.write(to: &writer)
    writer.write(UInt8(isRaw ? 1 : 0))
  }
  package init?(from reader: inout PlainReader) {
    guard let segments = Program.Slice(from: &reader), let isRaw = reader.bool() else { return nil }
    self.init(segments: segments, isRaw: isRaw)
  }
}

extension Program.Path.Segment: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(kind.rawValue)
    name.write(to: &writer)
    writer.write(index)
  }
  package init?(from reader: inout PlainReader) {
    guard let kind = reader.choice(Kind.self), let name = Program.Span(from: &reader),
      let index = reader.uint32()
    else { return nil }
    self.init(kind: kind, name: name, index: index)
  }
}

extension Program.Slot: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(name)
    writer.write(byteCountMax)
    writer.write(valueCountMax)
  }
  package init?(from reader: inout PlainReader) {
    guard let name = reader.string(), let byteCountMax = reader.uint32(),
      let valueCountMax = reader.uint16()
    else { return nil }
    self.init(name: name, byteCountMax: byteCountMax, valueCountMax: valueCountMax)
  }
}

extension Program.Endpoint: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(name)
    writer.write(tags)
    writer.write(checks)
  }
  package init?(from reader: inout PlainReader) {
    guard let name = reader.string(), let tags: [String] = reader.value(),
      let checks: [String] = reader.value(), checks.count < Counters.checkCountMax
    else { return nil }
    self.init(name: name, tags: tags, checks: checks)
  }
}

extension Program.Constant: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(slot)
    writer.write(UInt8(isBare ? 1 : 0))
    writer.write(text)
  }
  package init?(from reader: inout PlainReader) {
    guard let slot = reader.uint16(), let isBare = reader.bool(), let text = reader.byteList()
    else { return nil }
    self.init(slot: slot, isBare: isBare, text: text)
  }
}

extension Program.Think: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(kind.rawValue)
    writer.write(lowNs)
    writer.write(highNs)
  }
  package init?(from reader: inout PlainReader) {
    guard let kind = reader.choice(Kind.self), let lowNs = reader.uint64(),
      let highNs = reader.uint64()
    else { return nil }
    self.init(kind: kind, lowNs: lowNs, highNs: highNs)
  }
}

extension Program.Choice: PlainValue {
  package func write(to writer: inout PlainWriter) { writer.write(columns) }
  package init?(from reader: inout PlainReader) {
    guard let columns: [Column] = reader.value() else { return nil }
    self.init(columns: columns)
  }
}

extension Program.Choice.Column: PlainValue {
  package func write(to writer: inout PlainWriter) {
    for value in [threshold, own, other] { writer.write(value) }
  }
  package init?(from reader: inout PlainReader) {
    guard let threshold = reader.uint32(), let own = reader.uint32(), let other = reader.uint32()
    else { return nil }
    self.init(threshold: threshold, own: own, other: other)
  }
}

extension Program.Table: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(name)
    writer.write(file)
    writer.write(columns)
    writer.write(rowCount)
    writer.write(firstText)
    writer.write(pick.rawValue)
  }
  package init?(from reader: inout PlainReader) {
    guard let name = reader.string(), let file = reader.string(),
      let columns: [String] = reader.value(), let rowCount = reader.uint32(),
      let firstText = reader.uint32(), let pick = reader.choice(Pick.self)
    else { return nil }
    self.init(
      name: name, file: file, columns: columns, rowCount: rowCount, firstText: firstText,
      pick: pick)
  }
}

extension Program.Task: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(name)
    writer.write(weight)
    writer.write(tags)
  }
  package init?(from reader: inout PlainReader) {
    guard let name = reader.string(), let weight = reader.double(),
      let tags: [String] = reader.value()
    else { return nil }
    self.init(name: name, weight: weight, tags: tags)
  }
}

extension Program.UserClass: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(name)
    writer.write(weight)
    writer.write(fixed)
    writer.write(onStart)
    writer.write(iteration)
    writer.write(onStop)
    writer.write(think)
    writer.write(row)
    writer.write(tasks)
  }
  package init?(from reader: inout PlainReader) {
    guard let name = reader.string(), let weight = reader.double(),
      let fixed: UInt32? = reader.value(), let onStart: UInt32? = reader.value(),
      let iteration = reader.uint32(), let onStop: UInt32? = reader.value(),
      let think: UInt16? = reader.value(), let row: UInt16? = reader.value(),
      let tasks: [Program.Task] = reader.value()
    else { return nil }
    self.init(
      name: name, weight: weight, fixed: fixed, onStart: onStart, iteration: iteration,
      onStop: onStop, think: think, row: row, tasks: tasks)
  }
}

extension Program.UserLoad.Stage: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(durationNs)
    writer.write(to)
  }
  package init?(from reader: inout PlainReader) {
    guard let durationNs = reader.uint64(), let to = reader.uint64(), to <= 1_000_000 else {
      return nil
    }
    self.init(durationNs: durationNs, to: to)
  }
}

extension Program.ArrivalLoad: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(startHz)
    writer.write(stages)
    writer.write(UInt8(isPoisson ? 1 : 0))
    writer.write(userCountMax)
  }
  package init?(from reader: inout PlainReader) {
    guard let startHz = reader.double(), let stages: [Stage] = reader.value(),
      let isPoisson = reader.bool(), let userCountMax = reader.uint64(), userCountMax <= 1_000_000
    else { return nil }
    self.init(
      startHz: startHz, stages: stages, isPoisson: isPoisson, userCountMax: userCountMax)
  }
}

extension Program.ArrivalLoad.Stage: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(durationNs)
    writer.write(endHz)
  }
  package init?(from reader: inout PlainReader) {
    guard let durationNs = reader.uint64(), let endHz = reader.double() else { return nil }
    self.init(durationNs: durationNs, endHz: endHz)
  }
}

extension Program.NamedObjective: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(text)
    writer.write(name)
    writer.write(tag)
  }
  package init?(from reader: inout PlainReader) {
    guard let text = reader.string(), let name: String? = reader.value(),
      let tag: String? = reader.value()
    else { return nil }
    self.init(text: text, name: name, tag: tag)
  }
}
