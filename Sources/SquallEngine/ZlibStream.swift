internal import CSquall

/// A zlib stream (RFC 1950) of the bytes.
package func zlibStream(of bytes: [UInt8]) -> [UInt8] {
  var stream = [UInt8](repeating: 0, count: Int(squall_deflate_bound(UInt64(bytes.count))))
  let count = unsafe squall_deflate(bytes, UInt64(bytes.count), &stream, UInt64(stream.count))
  precondition(count > 0, "a zlib stream larger than its bound")
  return Array(stream.prefix(Int(count)))
}
