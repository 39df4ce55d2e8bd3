package client

import (
	"context"
	"errors"
	"fmt"

	"etcha/go/errs"
	"etcha/go/wire"
)

// ApprovalNeeded says what an open lacks: counter-signatures over the digest,
// each by another key of the source, none of them the opener's.
type ApprovalNeeded struct {
	Request wire.OpenRequest // what is asked for
	Digest  string           // its digest
	Need    int              // counter-signatures in all
	Have    int              // of those, valid ones that came along
	Why     string           // the node's own words, for people: also why others do not count
}

// approved calls open, with the counter-signatures that Options.Approve gives
// while the node demands some.
func (c *Client) approved(ctx context.Context, source string, sh wire.Shell, cnf *wire.Confirmation, open func([]string) error) error {
	var approvals []string
	for {
		err := open(approvals)
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Problem.Code != wire.CodeApproval ||
			refused.Problem.Approval == nil || c.o.Approve == nil {
			return err
		}
		node, _ := c.trust.pinned()
		claims := wire.Claims{Source: source, Confirm: cnf, Shell: &sh}
		need := ApprovalNeeded{
			Request: wire.NewOpenRequest(node, c.o.Signer.Public().Thumbprint(), claims),
			Need:    refused.Problem.Approval.Need, Have: refused.Problem.Approval.Have,
			Why: printable(refused.Problem.Detail, maxMessage),
		}
		need.Digest = need.Request.Digest()
		if given := refused.Problem.Approval.Digest; given != need.Digest {
			return fmt.Errorf("the node wants another request approved (%s) than the one made (%s): %w",
				printable(given, 100), need.Digest, err)
		}
		if approvals, err = c.approve(ctx, need); err != nil {
			return err
		}
	}
}

func (c *Client) approve(ctx context.Context, need ApprovalNeeded) ([]string, error) {
	approvals, err := c.o.Approve(ctx, need)
	switch {
	case err != nil:
		return nil, fmt.Errorf("approval: %w", err)
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case len(approvals) == 0:
		return nil, errors.New("approval: none was given")
	case len(approvals) > wire.MaxApprovals:
		return nil, errs.Usage("approval: %d were given, at most %d count", len(approvals), wire.MaxApprovals)
	}
	return approvals, nil
}
