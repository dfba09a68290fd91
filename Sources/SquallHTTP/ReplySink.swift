/// Takes what a parser reads of a response and does not keep. Bytes come in any pieces, valid during
/// the call.
package protocol ReplySink: ~Copyable {
  /// Field lines as they stand, line ends and the empty line included; those of interim responses too,
  /// trailers not.
  mutating func fields(_ bytes: UnsafeRawBufferPointer)
  /// The body, without chunk framing.
  mutating func body(_ bytes: UnsafeRawBufferPointer)
}

/// Takes nothing, at no cost.
package struct NoSink: ReplySink {
  package init() {}
  @inline(__always) package func fields(_ bytes: UnsafeRawBufferPointer) {}
  @inline(__always) package func body(_ bytes: UnsafeRawBufferPointer) {}
}
