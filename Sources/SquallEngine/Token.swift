/// What a completion belongs to, packed into the 64 bits the kernel hands back:
///
///     63       56 55                       32 31                               0
///     ┌──────────┬───────────────────────────┬─────────────────────────────────┐
///     │operation │        generation         │              slot               │
///     └──────────┴───────────────────────────┴─────────────────────────────────┘
///
/// The generation counts the tenants of a slot, modulo 2^24: a completion that outlived its tenant
/// is recognised by it.
package struct Token: Equatable, Sendable {
  package let bits: UInt64

  package static let generationMask: UInt32 = 0xff_ffff

  @inline(__always)
  package init(operation: UInt8, generation: UInt32 = 0, slot: UInt32 = 0) {
    bits =
      UInt64(operation) &<< 56 | UInt64(generation & Self.generationMask) &<< 32 | UInt64(slot)
  }

  @inline(__always)
  package init(bits: UInt64) { self.bits = bits }

  package var operation: UInt8 {
    @inline(__always) get { UInt8(truncatingIfNeeded: bits &>> 56) }
  }
  package var generation: UInt32 {
    @inline(__always) get { UInt32(truncatingIfNeeded: bits &>> 32) & Self.generationMask }
  }
  package var slot: UInt32 {
    @inline(__always) get { UInt32(truncatingIfNeeded: bits) }
  }
}
