internal import SquallEngine

/// What `RunResult` has its histograms compressed by.
package func deflate(_ bytes: [UInt8]) -> [UInt8] { zlibStream(of: bytes) }
