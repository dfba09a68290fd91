internal import CFiles
internal import SquallScenario

/// YAML, and JSON as a part of it, to a document with places. By libyaml (https://pyyaml.org/wiki/LibYAML).
struct DocumentReader {
  /// Aliases make large documents of small ones: nodes counted as often as they stand somewhere.
  static let nodeCountMax = 100_000
  static let depthMax = 100

  let source: Document.Source
  private let text: String
  /// Among the document's sources.
  private let index: Int
  private var nodeCount = 0
  /// Of scalars, counted like nodes. An escape makes two bytes of one at most.
  private var byteCount = 0

  init(name: String, text: String, index: Int) {
    self.index = index
    source = .init(name: name, text: text)
    self.text = text
  }

  mutating func document() throws(Fault) -> Document {
    try refuseDepth()
    var parser = unsafe yaml_parser_t()
    guard unsafe yaml_parser_initialize(&parser) == 1 else { throw Self.withoutMemory }
    defer { unsafe yaml_parser_delete(&parser) }
    unsafe yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING)
    // The parser reads it for as long as it lives.
    let bytes = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.utf8.count)
    defer { unsafe bytes.deallocate() }
    _ = unsafe bytes.initialize(from: text.utf8)
    unsafe yaml_parser_set_input_string(&parser, bytes.baseAddress, bytes.count)

    let root = try unsafe loaded(&parser) { (document, reader) throws(Fault) in
      guard let root = unsafe yaml_document_get_root_node(&document) else {
        throw Fault(reader.place(nil), "an empty scenario: begin with squall: 1")
      }
      return try unsafe reader.node(root, in: &document, depth: 0)
    }
    try unsafe loaded(&parser) { (document, reader) throws(Fault) in
      guard let second = unsafe yaml_document_get_root_node(&document) else { return }
      throw unsafe Fault(
        reader.place(second.pointee.start_mark),
        "not YAML: a second document begins here; a scenario is one")
    }
    return Document(root: root, sources: [source])
  }

  /// Hands over the next document of the stream; one without a root when there is none.
  private mutating func loaded<Value>(
    _ parser: inout yaml_parser_t,
    _ body: (inout yaml_document_t, inout DocumentReader) throws(Fault) -> Value
  ) throws(Fault) -> Value {
    var document = unsafe yaml_document_t()
    guard unsafe yaml_parser_load(&parser, &document) == 1 else { throw unsafe fault(of: parser) }
    defer { unsafe yaml_document_delete(&document) }
    return try unsafe body(&document, &self)
  }

  /// The parser keeps what is open as deep as brackets and dashes say, so these are counted before.
  private func refuseDepth() throws(Fault) {
    var depth = 0
    for (index, line) in source.lines.enumerated() {
      var dashes = 0
      for character in line {
        if character == "[" || character == "{" { depth += 1 }
        if character == "]" || character == "}" { depth = max(0, depth - 1) }
        if character == "-" { dashes += 1 }
        guard depth <= Self.depthMax, dashes <= 1_000 else {
          throw Fault(Place(source: self.index, line: index + 1, column: 1), "nested too deep")
        }
      }
    }
  }

  /// An alias leads to the node that it names, and to its place.
  private mutating func node(
    _ node: UnsafeMutablePointer<yaml_node_t>, in document: inout yaml_document_t, depth: Int
  ) throws(Fault) -> SquallScenario.Node {
    let place = unsafe place(node.pointee.start_mark)
    nodeCount += 1
    guard nodeCount <= Self.nodeCountMax, depth <= Self.depthMax else {
      throw Self.tooLarge(place)
    }
    switch unsafe node.pointee.type {
    case YAML_SCALAR_NODE:
      let scalar = unsafe node.pointee.data.scalar
      byteCount += unsafe Int(scalar.length)
      guard byteCount <= 2 * ScenarioFile.byteCountMax else { throw Self.tooLarge(place) }
      let text = unsafe String(
        decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
      return unsafe .init(
        .scalar(text, isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE), at: place)
    case YAML_SEQUENCE_NODE:
      let items = unsafe node.pointee.data.sequence.items
      var elements: [SquallScenario.Node] = []
      for place in unsafe 0..<(items.top - items.start) {
        elements.append(try unsafe self.node(items.start[place], in: &document, depth: depth + 1))
      }
      return .init(.sequence(elements), at: place)
    case YAML_MAPPING_NODE:
      let pairs = unsafe node.pointee.data.mapping.pairs
      var entries: [SquallScenario.Node.Entry] = []
      var names: [String: Place] = [:]
      for place in unsafe 0..<(pairs.top - pairs.start) {
        let pair = unsafe pairs.start[place]
        let key = try unsafe self.node(pair.key, in: &document, depth: depth + 1)
        if case .scalar(let name, _) = key.content {
          if let first = names.updateValue(key.place, forKey: name) {
            throw Fault(first, "'\(name)' is given twice in one mapping: take one out")
          }
        }
        let value = try unsafe self.node(pair.value, in: &document, depth: depth + 1)
        entries.append(.init(key: key, value: value))
      }
      return .init(.mapping(entries), at: place)
    default:
      throw Self.withoutMemory
    }
  }

  /// By its number, from 1.
  private mutating func node(
    _ number: Int32, in document: inout yaml_document_t, depth: Int
  ) throws(Fault) -> SquallScenario.Node {
    guard let node = unsafe yaml_document_get_node(&document, number) else {
      throw Self.withoutMemory
    }
    return try unsafe self.node(node, in: &document, depth: depth)
  }

  private static func tooLarge(_ place: Place) -> Fault {
    Fault(place, "too large once its aliases are followed: write less of it")
  }

  private static let withoutMemory = Fault(
    Place(source: -1, line: 0, column: 0), "no memory to read it")

  private func place(_ mark: yaml_mark_t?) -> Place {
    Place(source: index, line: (mark?.line ?? 0) + 1, column: (mark?.column ?? 0) + 1)
  }

  private func fault(of parser: yaml_parser_t) -> Fault {
    guard let problem = unsafe parser.problem.map({ unsafe String(cString: $0) }) else {
      return Self.withoutMemory
    }
    guard unsafe parser.error != YAML_READER_ERROR else {
      // It knows the byte and neither line nor column.
      let before = unsafe text.utf8.prefix(parser.problem_offset)
      let line = before.count { $0 == UInt8(ascii: "\n") } + 1
      return Fault(Place(source: index, line: line, column: 1), "not YAML: \(problem)")
    }
    return unsafe Fault(
      place(parser.problem_mark),
      "not YAML: \(problem); "
        + (problem.contains("tab")
          ? "indent with spaces" : "a text with {, }, [, ], : or # in it needs quotes"))
  }
}
