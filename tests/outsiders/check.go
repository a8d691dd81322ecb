// Checks a leaf against its proof and the key of the log, with the libraries of Go's checksum database.
package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	leaf, proof, policy := read(1), read(2), read(3)
	head, signed, _ := strings.Cut(proof, "\n\n")
	verifier, err := note.NewVerifier(strings.Fields(policy + " none none")[1])
	demand(err)
	opened, err := note.Open([]byte(signed), note.VerifierList(verifier))
	demand(err)
	var index, size int64
	var origin, root string
	_, err = fmt.Sscanf(opened.Text, "%s\n%d\n%s\n", &origin, &size, &root)
	demand(err)
	_, err = fmt.Sscanf(head, "c2sp.org/tlog-proof@v1\nindex %d", &index)
	demand(err)
	var hashes tlog.RecordProof
	for _, line := range strings.Split(head, "\n")[2:] {
		hash, err := tlog.ParseHash(line)
		demand(err)
		hashes = append(hashes, hash)
	}
	top, err := tlog.ParseHash(root)
	demand(err)
	demand(tlog.CheckRecord(hashes, size, top, index, tlog.RecordHash([]byte(leaf))))
}

func read(at int) string {
	data, err := os.ReadFile(os.Args[at])
	demand(err)
	return string(data)
}

func demand(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
