/// What stands behind errors and beside answers: finer than a cause, so that a report can say why.
/// Merging is addition. The raw value is the index in a page and on the wire: append only.
public enum Finding: UInt8, CaseIterable, Sendable {
  /// The connection ended in the middle of an answer.
  case cutShort = 0
  /// Body bytes that had come of those.
  case cutShortByteCount
  /// Time ran out in the middle of an answer.
  case lateInAnswer
  /// The connection ended before the first byte of an answer, and had brought answers before.
  case reuseClosed
  /// How many answers those connections had brought.
  case answersBeforeClose
  /// The sum of their squares: whether each brought as many as the others.
  case answersBeforeCloseSquared
  /// Connections given up because bytes stood behind a complete answer.
  case strayConnections
  case strayByteCount
  /// Connections given up because bytes came before anything was asked.
  case unaskedConnections

  public var name: String {
    switch self {
    case .cutShort: "cut_short"
    case .cutShortByteCount: "cut_short_body_bytes"
    case .lateInAnswer: "late_in_answer"
    case .reuseClosed: "reuse_closed"
    case .answersBeforeClose: "answers_before_close"
    case .answersBeforeCloseSquared: "answers_before_close_squared"
    case .strayConnections: "stray_connections"
    case .strayByteCount: "stray_bytes"
    case .unaskedConnections: "unasked_connections"
    }
  }
}

/// A piece of what a target sent, kept to show it. The raw value is the place in a page and the name
/// on the wire: append only.
public enum Sample: UInt8, CaseIterable, Sendable {
  /// The first bytes of an answer that does not begin as one.
  case strangeStart = 0

  public static let byteCountMax = 63

  public var name: String {
    switch self {
    case .strangeStart: "strange_start"
    }
  }
}
